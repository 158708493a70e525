"""``python -m harness``: the command line's way in, where every error gets its one line and exit code."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 a gate failed, 2 an error, 130 Ctrl-C."""
    sys.exit(_main())


def _main() -> int:
    import typer

    from harness.cli import app
    from harness.errors import HarnessError

    usage_error = typer.BadParameter.__base__ or typer.BadParameter
    try:
        result = app(prog_name="python -m harness", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except typer.Exit as leaving:
        return leaving.exit_code
    except HarnessError as error:
        return _complain(str(error))
    except usage_error as error:
        return _complain(_usage(error))
    except (KeyboardInterrupt, typer.Abort):
        print("Stopped. What is finished is kept: the same command goes on from here.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115  (nobody reads any more)
        return 2
    except Exception as error:
        if os.environ.get("HARNESS_TRACEBACK"):
            raise
        return _complain(
            f"unexpected {type(error).__name__}: {error}; this is a fault of the harness: "
            "set HARNESS_TRACEBACK=1 to see where, and report it"
        )


def _usage(error: BaseException) -> str:
    message: str = getattr(error, "format_message", lambda: str(error))()
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "python -m harness"
    return f"{message.rstrip('.')}; see: {command} --help"


def _complain(text: str) -> int:
    print(f"error: {' '.join(text.split())}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
