"""The most frequent lines of many files: a pipeline of child processes for each, some pipelines at a time.

    python examples/subprocess_pipeline.py [--top 3] [--jobs 4] FILE ...

It is `sort FILE | uniq -c | sort -rn | head -n 3`, without a shell that would read file names as commands,
and with every stage's exit status looked at. Ctrl-C: the children are ended and waited for.
"""

import argparse
import os
import signal
import sys

import corolib
from corolib import subprocess
from corolib.pool import Pool


def pipeline(stages: list[list[str]]) -> str:
    """What the last stage writes. RuntimeError names the first stage that failed."""
    environment = {**os.environ, "LC_ALL": "C"}
    processes: list[subprocess.Popen] = []
    source = subprocess.DEVNULL
    try:
        for stage in stages:
            # In a session of its own: the terminal's Ctrl-C is for us, who end all stages.
            process = subprocess.Popen(
                stage,
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=True,
            )
            if processes:
                # The reader has its copy: the writer must hear of it (SIGPIPE) when that one ends early.
                processes[-1].stdout.close()
            processes.append(process)
            source = process.stdout
        complaints = [corolib.spawn(process.stderr.read) for process in processes[:-1]]
        output, complaint = processes[-1].communicate()
        for process, said in zip(processes, [*(each.get() for each in complaints), complaint], strict=True):
            if process.wait() not in (0, -signal.SIGPIPE):
                failed = f"{process.args[0]}: status {process.returncode}"
                raise RuntimeError(said.decode(errors="replace").strip() or failed)
        return output.decode(errors="replace")
    finally:
        for process in processes:
            process.kill()  # nothing, if it is over
            process.wait()
            for pipe in (process.stdout, process.stderr):
                pipe.close()


def main() -> int:
    parser = argparse.ArgumentParser(description="The most frequent lines of many files.")
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--top", type=int, default=3, metavar="N", help="lines per file (default 3)")
    parser.add_argument("--jobs", type=int, default=4, metavar="N", help="at the same time (default 4)")
    options = parser.parse_args()
    if options.top < 1 or options.jobs < 1:
        parser.error("--top and --jobs must be at least 1")

    def most_frequent(file: str) -> tuple[str, str, str]:
        last = ["head", "-n", str(options.top)]
        try:
            return file, pipeline([["sort", "--", file], ["uniq", "-c"], ["sort", "-rn"], last]), ""
        except (OSError, RuntimeError) as error:
            return file, "", str(error)

    failed = 0
    for file, output, error in Pool(options.jobs).imap(most_frequent, options.files):
        if error:
            failed += 1
            print(f"{file}: {error}", file=sys.stderr, flush=True)
        else:
            print(f"{file}:\n{output}", end="", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(corolib.run(main))
