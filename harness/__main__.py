"""``python -m harness``: the command line's way in, where every error gets its one line and exit code."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 a gate failed, 2 an error, 130 Ctrl-C."""
    sys.exit(_main())


def _main() -> int:
    try:
        return _run()
    except KeyboardInterrupt:
        return _stopped()


def _run() -> int:
    import typer

    from harness.cli import app
    from harness.errors import HarnessError

    usage_error: type[Exception] = typer.BadParameter.__mro__[1]
    try:
        code = app(prog_name="python -m harness", standalone_mode=False) or 0
        return _stopped() if code == 130 else int(code)  # typer makes an exit of Ctrl-C
    except typer.Exit as leaving:
        return leaving.exit_code
    except typer.Abort:
        return _stopped()
    except HarnessError as error:
        return _complain(str(error))
    except usage_error as error:
        return _complain(_usage(error))
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115  (nobody reads any more)
        return 2
    except OSError as error:
        if os.environ.get("HARNESS_TRACEBACK"):
            raise
        return _complain(
            f"{error.filename or 'a file'}: {error.strerror}; free space, or mend the permissions"
        )
    except Exception as error:
        if os.environ.get("HARNESS_TRACEBACK"):
            raise
        return _complain(
            f"unexpected {type(error).__name__}: {error}; this is a fault of the harness: "
            "set HARNESS_TRACEBACK=1 to see where, and report it"
        )


def _stopped() -> int:
    print("Stopped. What is finished is kept: the same command goes on from here.", file=sys.stderr)
    return 130


def _usage(error: BaseException) -> str:
    message: str = getattr(error, "format_message", lambda: str(error))()
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "python -m harness"
    return f"{message.rstrip('.')}; see: {command} --help"


def _complain(text: str) -> int:
    from harness.text import visible

    print(f"error: {visible(' '.join(text.split()))}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
