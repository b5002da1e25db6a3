"""The units as they are installed, and what an installation leaves alone; no systemd need be running."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import pytest

from configs import load
from daemon.config import load_config
from strategy.live_config import LiveConfig
from tests.local_exchange import ROOT

THRESHOLD = "15"
"""An exposure of 1.5, as systemd-analyze counts it."""
SERVICES = ["regimen", "regimen-retrain", "regimen-backtest", "regimen-exchange", "regimen-alert@"]
PLACEHOLDER = re.compile(r"@[A-Z]+@")
needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make to install with")
needs_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze to look at units with"
)
pytestmark = needs_make


def make(target: str, image: Path, around: Mapping[str, str] | None = None, at: Path = ROOT, **options: str) -> str:
    """`make install` or `make uninstall` into an image; gives what it wrote."""
    given = {"DESTDIR": str(image), "INTERPRETER": sys.executable, "PREFIX": "/opt/regimen"} | options
    words = [f"{name}={value}" for name, value in given.items()]
    quiet = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    quiet |= around or {}
    command = ["make", "-s", target, *words]
    return subprocess.run(command, cwd=at, env=quiet, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image with Regimen installed in it."""
    folder = tmp_path_factory.mktemp("image")
    make("install", folder)
    return folder


def test_every_place_is_filled_in(image: Path) -> None:
    files = [p for part in ("etc", "opt/regimen/bin") for p in (image / part).rglob("*") if p.is_file()]
    assert len(files) > 10
    for file in files:
        assert not PLACEHOLDER.search(file.read_text()), file


def test_the_configuration_that_is_installed_is_valid(image: Path) -> None:
    config = load_config(image / "etc/regimen/daemon.yaml")
    assert (str(config.state_dir), config.mode) == ("/var/lib/regimen", "sandbox")
    for name in ("live_config.yaml", "demo_config.yaml"):
        assert load(image / "etc/regimen" / name, LiveConfig).rules()


def test_the_folder_of_credentials_is_roots_alone(image: Path) -> None:
    assert stat.S_IMODE((image / "etc/regimen/credentials").stat().st_mode) == 0o700


@needs_analyze
def test_systemd_finds_nothing_to_complain_about(image: Path) -> None:
    """Paths are those of the prefix, so the image's code is put where the units look: relative to it."""
    units = sorted((image / "etc/systemd/system").glob("regimen*"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, units)],
        env=os.environ | {"SYSTEMD_UNIT_PATH": f"{image}/etc/systemd/system:"}, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@needs_analyze
@pytest.mark.parametrize("name", SERVICES)
def test_the_exposure_is_at_most_one_and_a_half(image: Path, name: str) -> None:
    unit = image / f"etc/systemd/system/{name}.service"
    command = ["systemd-analyze", "security", "--no-pager", "--offline=true", f"--threshold={THRESHOLD}", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-400:]


def test_memory_that_can_be_written_and_run_is_forbidden_where_nothing_compiles(image: Path) -> None:
    units = image / "etc/systemd/system"
    forbidding = {
        name for name in SERVICES if "\nMemoryDenyWriteExecute=yes" in (units / f"{name}.service").read_text()
    }
    assert forbidding == {"regimen", "regimen-exchange", "regimen-alert@"}


def test_an_edited_configuration_is_never_overwritten(tmp_path: Path) -> None:
    make("install", tmp_path)
    config, kept = tmp_path / "etc/regimen/daemon.yaml", tmp_path / "etc/regimen/environment"
    config.write_text(config.read_text().replace("protect", "flatten"))
    untouched = kept.read_bytes()
    make("install", tmp_path)
    assert "flatten" in config.read_text()
    assert not config.with_name("daemon.yaml.new").exists()  # this version brings nothing new
    make("install", tmp_path, SYSCONFDIR="/etc/regimen", PREFIX="/opt/other")  # one that does: other paths in it
    assert "flatten" in config.read_text()
    assert kept.read_bytes() == untouched


def test_a_newer_configuration_is_put_beside_an_edited_one(tmp_path: Path) -> None:
    make("install", tmp_path)
    config, pristine = tmp_path / "etc/regimen/daemon.yaml", tmp_path / "opt/regimen/share/regimen/daemon.yaml"
    config.write_text(config.read_text() + "\nlog_level: debug\n")
    pristine.write_text(pristine.read_text() + "# an earlier version\n")
    make("install", tmp_path)
    assert config.read_text().endswith("log_level: debug\n")
    assert "log_level" not in config.with_name("daemon.yaml.new").read_text()


def test_a_configuration_that_nobody_edited_follows_the_version(tmp_path: Path) -> None:
    make("install", tmp_path)
    config, pristine = tmp_path / "etc/regimen/daemon.yaml", tmp_path / "opt/regimen/share/regimen/daemon.yaml"
    for file in (config, pristine):
        file.write_text("# an earlier version\n")
    make("install", tmp_path)
    assert "earlier" not in config.read_text()


def test_uninstalling_leaves_state_and_configuration_unless_told_otherwise(tmp_path: Path) -> None:
    make("install", tmp_path)
    journal = tmp_path / "var/lib/regimen/journal.sqlite"
    journal.parent.mkdir(parents=True)
    journal.touch()
    (journal.parent / "jobs/training/waiting").mkdir(parents=True)
    make("uninstall", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"etc", "var"}
    assert {path.name for path in (tmp_path / "etc").iterdir()} == {"regimen"}
    assert list((tmp_path / "var/lib").rglob("*")) == [journal.parent, journal]
    assert (tmp_path / "etc/regimen/daemon.yaml").exists()
    make("uninstall", tmp_path, PURGE="yes")
    assert not tmp_path.exists() or not list(tmp_path.iterdir())


def checkout(folder: Path) -> Path:
    """A copy of what an installation takes, to be made another version of."""
    parts = ("configs", "market", "models", "strategy", "training", "backtest", "daemon", "docs", "systemd")
    for part in parts:
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "sets", "incoming"))
    for file in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / file, folder)
    return folder


def test_a_version_has_a_folder_of_its_own_and_the_one_before_stays(tmp_path: Path) -> None:
    image, source = tmp_path / "image", checkout(tmp_path / "source")
    lib, link, before = (image / "opt/regimen/lib" / name for name in ("", "regimen", "regimen.previous"))
    made = []
    for version in ("first", "second", "second", "third"):
        (source / "daemon/version.py").write_text(f"NAME = {version!r}\n")
        make("install", image, at=source)
        assert (link / "daemon/version.py").read_text() == f"NAME = {version!r}\n"
        made.append(os.readlink(link))
    first, second, again, third = made
    assert again == second  # the same content, the same folder
    assert {path.name for path in lib.iterdir()} == {link.name, before.name, second, third}
    assert os.readlink(before) == second
    assert first not in (second, third)
    damaged = lib / third / "daemon/version.py"
    damaged.write_text("")
    make("install", image, at=source)
    assert "third" in damaged.read_text()


def test_commands_of_an_image_name_the_python_that_they_will_be_beside(tmp_path: Path) -> None:
    """pip finds everything installed already, where the tests' own libraries are, and fetches nothing."""
    given = {"EXTRAS": "cpu", "PYTHON": sys.executable, "INTERPRETER": ""}
    around = {"PYTHONPATH": sysconfig.get_path("purelib"), "PIP_NO_INDEX": "1"}
    before = {path.name for path in ROOT.iterdir()}
    make("install", tmp_path, around, **given)
    venv = tmp_path / "opt/regimen/venv"
    assert (venv / "bin/pip").read_text().startswith("#!/opt/regimen/venv/bin/python")
    named = [path for path in (*(venv / "bin").iterdir(), venv / "pyvenv.cfg") if not path.is_symlink()]
    assert not [path for path in named if str(tmp_path) in path.read_text()]
    assert {path.name for path in ROOT.iterdir()} == before  # no build/ is left
    (venv / "bin/pip").unlink()
    make("install", tmp_path, around, **given)  # wants what is there
    assert not (venv / "bin/pip").exists()
    with pytest.raises(subprocess.CalledProcessError) as error:
        make("install", tmp_path, around, **given | {"EXTRAS": "cqu"})
    assert "there is no cqu; choose of cpu, gpu" in error.value.stderr


def test_a_prefix_that_a_unit_cannot_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as error:
        make("install", tmp_path, PREFIX="/opt/my regimen")
    assert "choose another" in error.value.stderr


def test_a_prefix_that_the_units_cannot_see_is_refused_before_anything_is_put_there(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as error:
        make("install", tmp_path, PREFIX="/srv/regimen", DESTDIR="", INTERPRETER="/usr/bin/python3")
    assert "choose another PREFIX" in error.value.stderr
    assert not Path("/srv/regimen").exists()
