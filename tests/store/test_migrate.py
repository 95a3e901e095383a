"""The schema of a database over its life: new, older than the code, newer than it, and started for the first time."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext

import kaon.identity.tables  # noqa: F401 (its tables belong to the schema)
from kaon.resources import ranges, records
from kaon.resources.catalog import first_starts, resources, starts
from kaon.resources.declare import named
from kaon.resources.errors import ApiError
from kaon.resources.segments import allocation
from kaon.resources.segments.allocation import Segment
from kaon.resources.segments.segment import SEGMENT
from kaon.store import journal, migrate, sqlite
from kaon.store.engine import Store
from kaon.store.schema import metadata
from kaon.store.transaction import Transaction


@pytest.fixture(autouse=True)
def _declared() -> None:
    resources()


def _lacks(conn: sa.Connection) -> list[object]:
    """What the declarations have and the database has not, or the other way round."""
    return list(compare_metadata(MigrationContext.configure(conn, opts={"compare_type": True}), metadata))


def test_the_revisions_make_what_the_code_declares(tmp_path: Path) -> None:
    writing, _ = sqlite.engines(tmp_path / "kaon.db")
    with writing.connect() as conn, conn.begin():
        migrate.run_revisions(conn)
        assert _lacks(conn) == [], "write the missing revision by scripts/new_migration.py"
        assert migrate.version(conn) == migrate.revisions()[-1]


async def test_a_new_database_is_made_at_the_newest_revision(tmp_path: Path) -> None:
    store = await migrate.open_store(tmp_path / "kaon.db", first_starts())
    assert store.read_now(migrate.version) == migrate.revisions()[-1]
    assert store.read_now(_lacks) == []
    store.close()


async def test_first_starts_run_once_and_the_journal_keeps_its_epoch(tmp_path: Path) -> None:
    def take(tx: Transaction) -> int | None:
        return ranges.take_lowest(tx, "pool")

    starts = [lambda tx: ranges.fill(tx, "pool", [(1, 9)])]
    store = await migrate.open_store(tmp_path / "kaon.db", starts)
    epoch = migrate.epoch(store)
    assert await store.write(take) == 1 and epoch
    store.close()
    store = await migrate.open_store(tmp_path / "kaon.db", starts)
    assert await store.write(take) == 2
    assert migrate.epoch(store) == epoch
    store.close()
    other = await migrate.open_store(tmp_path / "other.db", starts)
    assert migrate.epoch(other) != epoch
    other.close()


async def test_a_first_start_that_fails_is_done_again(tmp_path: Path) -> None:
    def fail(tx: Transaction) -> None:
        ranges.fill(tx, "half", [(1, 9)])
        raise OSError("no luck")

    with pytest.raises(OSError, match="no luck"):
        await migrate.open_store(tmp_path / "kaon.db", [fail])
    store = await migrate.open_store(tmp_path / "kaon.db", [lambda tx: ranges.fill(tx, "whole", [(1, 9)])])
    assert store.read_now(lambda conn: (ranges.free(conn, "half"), ranges.free(conn, "whole"))) == ([], [(1, 9)])
    store.close()


async def test_a_database_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    store = await migrate.open_store(tmp_path / "kaon.db")
    await store.write(lambda tx: tx.execute(sa.text("UPDATE alembic_version SET version_num = '9999'")))
    store.close()
    with pytest.raises(migrate.SchemaError, match=r"kaon\.db has schema 9999 .* start the version that wrote it"):
        await migrate.open_store(tmp_path / "kaon.db")
    store = Store(tmp_path / "kaon.db")
    assert store.read_now(migrate.version) == "9999"
    store.close()


async def test_an_older_database_is_brought_up_with_what_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next version is played by a folder of revisions with one more in it."""
    path = tmp_path / "kaon.db"
    store = await migrate.open_store(path, first_starts())
    epoch, old = migrate.epoch(store), migrate.revisions()[-1]
    store.close()
    folder = tmp_path / "migrations"
    folder.mkdir()
    for file in migrate.FOLDER.glob("[0-9]*.py"):
        (folder / file.name).write_text(file.read_text())
    (folder / "0999_add_notes.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n"
        f'revision = "0999"\ndown_revision = "{old}"\n'
        'def upgrade():\n    with op.batch_alter_table("networks") as table:\n'
        '        table.add_column(sa.Column("note", sa.Text()))\n'
    )
    monkeypatch.setattr(migrate, "FOLDER", folder)
    for cached in (migrate.revisions, migrate._scripts):
        cached.cache_clear()
    try:
        migrate.prepare(path)
        store = await migrate.open_store(path)
        assert store.read_now(migrate.version) == "0999"
        assert "note" in {column["name"] for column in sa.inspect(store.engine).get_columns("networks")}
        assert migrate.epoch(store) == epoch
        store.close()
    finally:
        for cached in (migrate.revisions, migrate._scripts):
            cached.cache_clear()


async def test_ports_of_before_have_what_new_ones_have_and_a_record_of_their_binding(tmp_path: Path) -> None:
    path = tmp_path / "kaon.db"
    writing, _ = sqlite.engines(path)
    with writing.connect() as conn, conn.begin():
        migrate.run_revisions(conn, "0001")
        for id, host, owner in (("1", "a", "compute:kaon"), ("2", "", "compute:nova"), ("3", "a", "network:dhcp")):
            conn.execute(
                sa.text(
                    "INSERT INTO ports (id, binding_host_id, device_owner, binding_vif_type, binding_vif_details, "
                    "binding_vnic_type, binding_profile) VALUES (:id, :host, :owner, 'tap', '{}', 'normal', :slot)"
                ),
                {"id": id, "host": host, "owner": owner, "slot": '{"x": 1}'},
            )
    writing.dispose()
    store = await migrate.open_store(path)
    (binding,) = store.read_now(lambda conn: records.select(conn, named("port_binding")))
    assert (binding["port_id"], binding["host"], binding["status"]) == ("1", "a", "ACTIVE")
    assert (binding["vif_type"], binding["profile"]) == ("tap", {"x": 1})
    for port in store.read_now(lambda conn: records.select(conn, named("port"))):
        assert (port["propagate_uplink_status"], port["dns_domain"], port["hints"]) == (True, "", None)
    store.close()


async def test_what_was_journalled_before_there_were_owners_has_them_now(tmp_path: Path) -> None:
    path = tmp_path / "kaon.db"
    writing, _ = sqlite.engines(path)
    rows = [
        ("port", None, '{"id": "1", "project_id": "red"}'),
        ("port", '{"id": "1", "project_id": "red"}', None),
        ("agent", None, '{"id": "2"}'),
    ]
    with writing.connect() as conn, conn.begin():
        migrate.run_revisions(conn, "0001")
        for kind, before, after in rows:
            conn.execute(
                sa.text("INSERT INTO journal VALUES (NULL, 1.0, 'req', 'user', 'admin', :kind, '1', :before, :after)"),
                {"kind": kind, "before": before, "after": after},
            )
    writing.dispose()
    store = await migrate.open_store(path)
    entries = store.read_now(lambda conn: journal.page(conn, journal.Wanted(), 10))
    assert [(entry.owner_id, entry.user_name) for entry in entries] == [("red", ""), ("red", ""), ("", "")]
    store.close()


def test_the_revisions_are_sql_that_postgresql_takes_too() -> None:
    """Rendered for PostgreSQL without one to ask: every table that is declared, and nothing of SQLite's own."""
    scripts, text = migrate._scripts(), io.StringIO()
    with EnvironmentContext(
        Config(), scripts, fn=lambda current, _context: scripts._upgrade_revs("head", current), as_sql=True
    ) as environment:
        environment.configure(dialect_name="postgresql", output_buffer=text)
        environment.run_migrations()
    made = set(re.findall(r"CREATE TABLE (\w+)", text.getvalue()))
    assert made == {*metadata.tables, "alembic_version"}
    assert "SERIAL" in text.getvalue() and "AUTOINCREMENT" not in text.getvalue()


async def test_networks_from_before_there_were_segments_have_one_now_and_keep_their_identifier(tmp_path: Path) -> None:
    """All tunnels took their identifiers from one pool then, and VLANs from none."""
    path = tmp_path / "kaon.db"
    store = await migrate.open_store(path)
    store.close()
    path.unlink()
    writing, _ = sqlite.engines(path)
    carried = [("vxlan", None, 1), ("gre", None, 2), ("vlan", "rack1", 10), ("flat", "public", None)]
    with writing.connect() as conn, conn.begin():
        migrate.run_revisions(conn, "0001")
        for number, (kind, physical, identifier) in enumerate(carried):
            conn.execute(
                sa.text(
                    "INSERT INTO networks (id, project_id, mtu, revision_number, provider_network_type, "
                    "provider_physical_network, provider_segmentation_id) "
                    "VALUES (:id, 'red', 1450, 0, :kind, :physical, :identifier)"
                ),
                {"id": f"net-{number}", "kind": kind, "physical": physical, "identifier": identifier},
            )
        conn.execute(sa.insert(ranges.FREE), {"pool": "vxlan", "first": f"{3:032x}", "last": f"{2**24 - 1:032x}"})
    writing.dispose()
    store = await migrate.open_store(path)
    for _ in range(2):
        for start in starts():
            await store.write(start)
    held = store.read_now(lambda conn: records.select(conn, SEGMENT))
    assert sorted((item["network_id"], item["segmentation_id"] or 0) for item in held) == [
        ("net-0", 1),
        ("net-1", 2),
        ("net-2", 10),
        ("net-3", 0),
    ]
    # The identifier of the GRE tunnel is a VXLAN's to take now, and still taken as a GRE tunnel's.
    assert (await store.write(lambda tx: allocation.reserve(tx, Segment("vxlan"), "red"))).number == 2
    assert (await store.write(lambda tx: allocation.reserve(tx, Segment("gre"), "red"))).number == 1
    for taken in (Segment("gre", None, 2), Segment("vlan", "rack1", 10), Segment("flat", "public")):
        with pytest.raises(ApiError, match="in use"):
            await store.write(lambda tx, taken=taken: allocation.reserve(tx, taken, "red"))
    store.close()
