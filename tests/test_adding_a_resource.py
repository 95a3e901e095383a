"""What docs/adding-a-resource.md says: its blocks are the tree's, and a module is all that a resource needs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.running import environment

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "adding-a-resource.md"

MODULE = '''
"""Notes that a project keeps."""

from kaon.resources import records, types
from kaon.resources.declare import REQUIRED, Attribute, Extension, Resource, standard


def _create(tx, body):
    return records.insert(tx, NOTE, {**body, "id": types.new_id()})


def _update(tx, note, body):
    return records.update(tx, NOTE, note, body)


def _delete(tx, note):
    records.delete(tx, NOTE, note)


NOTE = Resource(
    name="note",
    collection="notes",
    attributes=standard(Attribute("text", types.text(1024), default=REQUIRED, post=True, put=True)),
    create=_create,
    update=_update,
    delete=_delete,
)

RESOURCES = (NOTE,)

EXTENSIONS = (Extension("notes", "Notes", "Notes that a project keeps"),)
'''

STORY = """
import asyncio, sys, tempfile
from pathlib import Path

import kaon.resources

kaon.resources.__path__.append(sys.argv[1])
from tests.api.cloud import Cloud


async def story():
    cloud = await Cloud(Path(sys.argv[1])).start()
    assert (await cloud("member:red", "GET", "/extensions/notes"))[0] == 200
    assert (await cloud("member:red", "POST", "/notes", {"note": {}}))[0] == 400
    note = await cloud.made("member:red", "/notes", name="first", text="hello")
    one = f"/notes/{note['id']}"
    assert note["project_id"] == "red" and note["revision_number"] == 0
    assert (await cloud("member:blue", "GET", one))[0] == 404
    assert (await cloud("reader:red", "PUT", one, {"note": {"text": "no"}}))[0] == 403
    changed = (await cloud("member:red", "PUT", one, {"note": {"text": "bye"}}))[1]["note"]
    assert changed["text"] == "bye" and changed["revision_number"] == 1
    assert (await cloud("member:red", "PUT", f"{one}/tags/old"))[0] == 201
    listed = (await cloud("member:red", "GET", "/notes?tags=old&name=first&fields=text"))[1]["notes"]
    assert listed == [{"text": "bye"}]
    document = (await cloud("member:red", "GET", "/openapi.json"))[1]
    assert {"get", "post"} <= document["paths"]["/v2.0/notes"].keys()
    assert (await cloud("member:red", "DELETE", one))[0] == 204
    assert (await cloud("member:red", "GET", one))[1]["NeutronError"]["type"] == "NoteNotFound"
    await cloud.stop()


asyncio.run(story())
"""


def test_one_module_is_all_that_a_resource_needs(tmp_path: Path) -> None:
    (tmp_path / "note.py").write_text(MODULE)
    search = {**environment(), "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-c", STORY, str(tmp_path)], env=search, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_the_blocks_of_the_page_are_parts_of_the_file_that_it_walks_through() -> None:
    text = PAGE.read_text()
    source = (PAGE.parent / re.findall(r"\]\((\S+resources/\S+_default_statefulness\.py)\)", text)[0]).read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    assert [block for block in blocks if block not in source] == []
