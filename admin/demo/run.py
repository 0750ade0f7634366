"""`turnout demo`: start, watch, stop.

Rules: whatever happens, everything that was started is stopped. Redis comes first, for its port
is in the proxy's settings; the proxy loads its modules while PostgreSQL starts; the admin and the
ERP, which need a database, last and side by side.
"""

import os
import select
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from admin.cli.client import AdminClient, Refused, Unreachable
from admin.demo import tour
from admin.demo.files import (
    DRAIN_S,
    VERSIONS,
    Description,
    config_text,
    description_text,
    env_text,
    kept_secrets,
    kept_versions,
    write_private,
)
from admin.demo.keep import Keeper
from admin.demo.options import Options
from admin.demo.parts import Part
from admin.demo.plan import LOOPBACK, Claim, DemoError, choose_ports, claim_folder, ports_reserved
from admin.demo.signals import Hurry, Interrupted, Phase, Signals
from admin.demo.system import ERP_DRAIN_S, System
from admin.demo.voice import Voice
from admin.embedded import EmbeddedServerError
from admin.tokens import Role, create_token

READY_S = 60.0
"""How long a part may take to be ready."""
TOKEN_S = 12 * 3600.0
TICK_S = 0.02
GRACE_S = 8.0
"""How long a part may take to end beyond what it drains."""


def run(options: Options) -> int:
    """Run the demo until it is told to end. The exit code: 0, 1 not started, 130 hurried."""
    voice = Voice(as_json=options.as_json)
    began = time.monotonic()
    with Signals() as signals:
        try:
            claim = claim_folder(options.data)
        except DemoError as error:
            voice.fail(str(error))
            return 1
        return _run(Demo(options, claim, voice, began), signals)


def _run(demo: "Demo", signals: Signals) -> int:
    code = 0
    try:
        try:
            demo.start()
            signals.phase = Phase.WATCHING
            demo.watch(signals)
        except (DemoError, EmbeddedServerError) as error:
            demo.voice.fail(str(error))
            code = 1
        except Interrupted:
            pass
        finally:
            signals.phase = Phase.STOPPING
            demo.stop()
    except Hurry:
        signals.phase = Phase.KILLING
        demo.kill()
        code = 130
    return code


class Demo:
    """One demo, from nothing to nothing."""

    def __init__(self, options: Options, claim: Claim, voice: Voice, began: float) -> None:
        self.voice = voice
        self._options, self._folder, self._began = options, claim.folder, began
        self._claim = claim
        self._secrets = kept_secrets(self._folder / "turnout.toml")
        self._token = ""
        self._system: System | None = None

    # ── start ─────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Everything, until a request would be served by both slots. DemoError if it can't be."""
        self._forget_last_run()
        if self._claim.note:
            self.voice.say(f"  note: {self._claim.note}")
        with ports_reserved(self._options, lambda line: self.voice.say(f"  note: {line}")):
            self._start_parts()
        self._token = create_token(self._secrets.token_secret, "demo", str(Role.ADMIN), TOKEN_S)
        self._route()
        self._describe()
        if not self._options.load:
            self._begin_load()
        self._tell()
        if self._options.load:
            # Its board comes below what was told.
            self.voice.into = self._begin_load()

    def _begin_load(self) -> Callable[[str], bool] | None:
        """Traffic, if there is to be any: what takes notes for its board."""
        if not self._options.requests_per_s:
            return None
        load = self._parts().make_load(self._token)
        load.begin()
        self._describe()
        return load.tell

    def _parts(self) -> System:
        if self._system is None:
            raise DemoError("the demo has no parts yet")
        return self._system

    def _forget_last_run(self) -> None:
        """Scripts wait for these files: they say that all is ready."""
        for name in ("demo.json", "env"):
            (self._folder / name).unlink(missing_ok=True)

    def _start_parts(self) -> None:
        ports = choose_ports(self._options)
        for note in ports.notes:
            self.voice.say(f"  note: {note}")
        system = self._system = System(self._options, self._folder, ports)
        system.renew_logs()
        self._start([system.redis])
        self._configure(None)
        system.proxy.begin()
        self._start([system.postgres])
        self._configure(system.postgres_server.create_database("turnout"))
        system.admin.begin()
        if not self._options.no_erp:
            database = system.postgres_server.create_database("print_erp")
            for instance in system.make_instances(database):
                instance.begin()
        self._wait([system.proxy, *system.instances, system.admin])

    def _configure(self, database_url: str | None) -> None:
        system = self._parts()
        text = config_text(
            system.ports,
            self._options.workers,
            self._secrets,
            system.redis_server.url,
            database_url,
            self._folder,
        )
        write_private(self._folder / "turnout.toml", text)

    def _start(self, parts: Sequence[Part]) -> None:
        for part in parts:
            part.begin()
        self._wait(parts)

    def _wait(self, parts: Sequence[Part]) -> None:
        """Until all are ready, or one has ended, or it takes too long."""
        waiting = list(parts)
        while waiting:
            for part in list(waiting):
                if part.is_ready():
                    waiting.remove(part)
                    self.voice.ready(part.name, time.monotonic() - part.began)
                elif time.monotonic() > part.began + READY_S:
                    raise DemoError(
                        f"{part.name} was not ready within {READY_S:.0f} s.{part.tail()}"
                    )
            self._pause(waiting)

    @staticmethod
    def _pause(parts: Sequence[Part]) -> None:
        """A tick, or less if one of them ends."""
        if parts:
            poll = select.poll()
            for part in parts:
                poll.register(part.pidfd, select.POLLIN)
            poll.poll(TICK_S * 1000)

    # ── route ─────────────────────────────────────────────────────────────────────────────────

    def _route(self) -> None:
        """Tell the proxy where the ERP is, and wait until all its workers serve that."""
        began = time.monotonic()
        system = self._parts()
        client = AdminClient(f"http://{LOOPBACK}:{system.ports.admin}", self._token, timeout_ms=0)
        operations = [
            {"op": "endpoints", "slot": slot, "endpoints": endpoints}
            for slot, endpoints in system.endpoints.items()
        ]
        try:
            if not self._options.no_erp:
                client.change("POST", "/v1/routing/changes", {"operations": operations})
                self._say_versions(client)
                self._say_what_was_kept(client)
            while (serving := self._serving(client)) < self._options.workers:
                if time.monotonic() > began + READY_S:
                    raise DemoError(
                        f"{serving} of {self._options.workers} workers serve the routing table"
                        f" after {READY_S:.0f} s.{system.proxy.tail()}"
                    )
                self._pause([system.proxy])
        except (Refused, Unreachable) as error:
            raise DemoError(f"the admin did not take the endpoints: {error}") from error
        self.voice.ready("routing", time.monotonic() - began)

    def _say_versions(self, client: AdminClient) -> None:
        """Tell the admin what the slots run; later on its releases do."""
        for slot, version in kept_versions(self._folder).items():
            path = f"/v1/slots/{slot}/version"
            if not client.read(path)["version"]:
                client.change("PUT", path, {"version": version}, waits=False)

    def _say_what_was_kept(self, client: AdminClient) -> None:
        """Tell the user if the tour would not be as it is written."""
        table = client.read("/v1/routing")
        kept = kept_since(table, kept_versions(self._folder))
        if kept:
            self.voice.say(f"  note: kept from earlier: {kept}. To begin anew, end this, and")
            self.voice.say(f"        rm -r {tour.shown(self._folder)}")

    @staticmethod
    def _serving(client: AdminClient) -> int:
        """How many workers serve the table as it is."""
        workers = client.read("/v1/workers")["workers"]
        return sum(worker["current"] and worker["state"] == "serving" for worker in workers)

    # ── tell ──────────────────────────────────────────────────────────────────────────────────

    def _description(self) -> Description:
        system = self._parts()
        ports = system.ports
        return Description(
            proxy=f"http://{LOOPBACK}:{ports.proxy}",
            admin=f"http://{LOOPBACK}:{ports.admin}",
            management=f"http://{LOOPBACK}:{ports.management}",
            token=self._token,
            redis_url=system.redis_server.url,
            database_url=system.postgres_server.url_for("turnout"),
            endpoints=system.endpoints,
            pids={"demo": os.getpid()} | {part.name: part.pid for part in system.parts},
        )

    def _describe(self) -> None:
        """Write env, then demo.json: when that is there, everything is."""
        description = self._description()
        write_private(self._folder / "env", env_text(description))
        write_private(self._folder / "demo.json", description_text(description))

    def _tell(self) -> None:
        description = self._description()
        if self._options.as_json:
            self.voice.answer(description_text(description))
        folder = tour.shown(self._folder)
        has_erp = not self._options.no_erp
        self.voice.say("")
        self.voice.loud(f"Turnout is ready after {time.monotonic() - self._began:.1f} s")
        self.voice.say("")
        for line in where(description, folder, has_erp=has_erp):
            self.voice.say(line)
        self.voice.say("")
        if has_erp:
            for line in tour.lines(self._folder / "env"):
                self.voice.say(line)
            self.voice.say("")
        self.voice.say("Ctrl-C ends it all.")

    # ── watch ─────────────────────────────────────────────────────────────────────────────────

    def watch(self, signals: Signals) -> None:
        """Start again what ends, until told to end (or the duration is over)."""
        keeper = Keeper(self._parts().parts, self.voice.note, self._describe)
        limit = self._options.duration
        until = time.monotonic() + limit if limit else None
        while not signals.came and (until is None or time.monotonic() < until):
            poll = select.poll()
            poll.register(signals.descriptor, select.POLLIN)
            for part in self._parts().parts:
                if part.running:
                    poll.register(part.pidfd, select.POLLIN)
            pause = keeper.tick()
            if until is not None:
                pause = min(pause, max(0.0, until - time.monotonic()))
            poll.poll(pause * 1000)

    # ── stop ──────────────────────────────────────────────────────────────────────────────────

    def stop(self) -> None:
        """Everything, in order: what asks before what answers."""
        self.voice.into = None
        system = self._system
        if system is not None:
            self.voice.say("Stopping…")
            system.stop_load(GRACE_S)
            system.proxy.stop(DRAIN_S + GRACE_S)
            system.admin.stop(GRACE_S)
            system.stop_instances(ERP_DRAIN_S + GRACE_S)
            system.postgres.stop(GRACE_S)
            system.redis.stop(GRACE_S)
            for part in system.parts:
                part.close()
            self.voice.say(f"Nothing is left running; the data stays in {self._folder}.")
        self._forget_last_run()

    def kill(self) -> None:
        """Everything, at once."""
        for part in self._system.parts if self._system else []:
            part.kill()
        self._forget_last_run()


def kept_since(table: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    """What differs from a first run, in words; empty if nothing does."""
    found = [f"{slot} runs {version}" for slot, version in versions.items()]
    found = found if versions != VERSIONS else []
    if table["active"] != "blue":
        found.append(f"{table['active']} is active")
    if table["canary"]["percent"]:
        found.append(f"the canary is at {table['canary']['percent']:g} %")
    return ", ".join(found)


def where(description: Description, folder: str, *, has_erp: bool) -> list[str]:
    """Where things are, for people."""
    port = description.proxy.rpartition(":")[2]
    browser_line = f"  browser   http://acme.localhost:{port}/   (so does the subdomain)"
    return [
        f"  proxy     {description.proxy}   (the header X-Tenant-ID names the tenant)",
        *([browser_line] if has_erp else []),
        f"  dashboard {description.admin}/ui   (log in with the token below)",
        f"  API       {description.admin}/docs",
        f"  metrics   {description.management}/metrics",
        f"  logs      {folder}/logs",
        f"  token     {description.token}   (admin, 12 h)",
    ]
