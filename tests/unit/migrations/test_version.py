"""Semantic versions compare as their standard says."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.migrations.version import Version, VersionError

# Section 11.4's own example, and what a comparison of texts gets wrong.
ASCENDING = (
    *("0.9.9", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2"),
    *("1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.2.0", "1.9.0", "1.10.0", "1.10.1", "10.0.0"),
)
versions = st.builds(
    Version,
    *(st.integers(0, 12) for _ in range(3)),
    st.lists(st.sampled_from(["alpha", "0", "1", "11", "rc-1", "x7"]), max_size=3).map(tuple),
)


@pytest.mark.parametrize(("older", "newer"), list(itertools.combinations(ASCENDING, 2)))
def test_which_is_newer(older, newer):
    first, second = Version.parse(older), Version.parse(newer)
    assert first < second
    assert not second < first
    assert first != second


@given(versions)
def test_what_is_written_is_read(version):
    assert Version.parse(str(version)) == version
    assert hash(Version.parse(f"v{version}+build.5")) == hash(version)


@given(versions, versions, versions)
def test_the_order_is_total(a, b, c):
    assert sorted([c, b, a]) == sorted([a, b, c])
    assert (a < b) + (b < a) + (a == b) == 1


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "1",
            "1.2",
            "1.2.3.4",
            "01.2.3",
            "1.2.3-",
            "1.2.3-01",
            "1.2.3-a..b",
            "1.2.x",
            " 1.2.3",
        ),
        *("1.2.3\n", "1.2.3-" + "a" * 64, "1.2.9999999999", "१.२.३", "V1.2.3"),
    ],
)
def test_what_is_no_version(text):
    with pytest.raises(VersionError, match=r"is no version: write MAJOR\.MINOR\.PATCH"):
        Version.parse(text)
