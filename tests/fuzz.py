"""`make fuzz`: look for inputs that break the data plane, guided by coverage (atheris).

    make fuzz                                  # a minute
    make fuzz ARGS="-max_total_time=3600"      # any option of libFuzzer

New inputs that reach new code go to .turnout/fuzz; one that breaks a rule is written to the
folder itself as crash-…, and the run ends with its traceback. Kept ones go to tests/corpus, which
the suite plays.
"""

import sys
from pathlib import Path

import atheris

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 60

with atheris.instrument_imports(include=["proxy"]):
    from tests.support.fuzzing import MAX_BYTES, play


def one_input(data: bytes) -> None:
    play(data)


def main(argv: list[str]) -> None:
    found = ROOT / ".turnout" / "fuzz"
    found.mkdir(parents=True, exist_ok=True)
    options = [f"-max_total_time={SECONDS}", f"-max_len={MAX_BYTES}", f"-artifact_prefix={found}/"]
    folders = [str(found), str(ROOT / "tests" / "corpus")]
    atheris.Setup([argv[0], *options, *argv[1:], *folders], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
