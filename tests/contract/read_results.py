"""From a subunit stream on standard input to JSON lines on standard output: [test, status, reason].

Runs in the contract tests' own virtual environment, which knows subunit.
"""

import json
import sys

from subunit import ByteStreamToStreamResult
from subunit.test_results import TestByTestResult
from testtools import StreamToExtendedDecorator


def _reason(details):
    """Why a test was skipped, or all that a failed one has left: its log and its traceback."""
    texts = [
        content.as_text().strip() for name, content in sorted(details.items()) if "reason" in name or "trace" in name
    ]
    return "\n".join(texts)


def _write(test, status, start_time, stop_time, tags, details):
    print(json.dumps([test.id(), status, _reason(details or {})]))


result = StreamToExtendedDecorator(TestByTestResult(_write))
result.startTestRun()
ByteStreamToStreamResult(sys.stdin.buffer, non_subunit_name="stdout").run(result)
result.stopTestRun()
