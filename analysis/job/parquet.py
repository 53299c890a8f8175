# parquet.py - tables of many traces as Parquet, partitioned by rank, and a summary in SQLite.
# Embedded in the command; run by the user's Python, which has pyarrow or duckdb.
# Given, on stdin, as JSON: out, a folder that is there; tables: [{name, sql, text: the columns that
# are no numbers}]; traces: [{rank, path}], paths as in a URL; job: what `report --json` says, or nothing.
# Says on stdout, a line each: "engine NAME VERSION", "rank N" when one is done, "failed RANK WHY",
# "rows TABLE COUNT" at the end. Exit status 4: neither library is there.
import sys

sys.path[:] = [p for p in sys.path if p]  # what lies in this folder is not the libraries'

import csv  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import pathlib  # noqa: E402
import sqlite3  # noqa: E402
import urllib.parse  # noqa: E402

MANY = 50000  # rows at a time


def say(*words):
    print("\t".join(str(w).replace("\t", " ").replace("\n", " ") for w in words), flush=True)


class Arrow:
    def __init__(self):
        import pyarrow
        import pyarrow.parquet
        self.arrow, self.parquet = pyarrow, pyarrow.parquet
        self.name, self.version = "pyarrow", pyarrow.__version__

    def write(self, path, columns, text, cursor):
        arrow = self.arrow
        schema = arrow.schema([(c, arrow.string() if c in text else arrow.int64())
                               for c in columns])
        count = 0
        with self.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
            while True:
                rows = cursor.fetchmany(MANY)
                if not rows and count:
                    return count
                lists = list(zip(*rows)) if rows else [[] for _ in columns]
                writer.write_table(arrow.table(
                    [arrow.array(values, type=field.type)
                     for values, field in zip(lists, schema)], schema=schema))
                count += len(rows)
                if not rows:
                    return count


class Duck:
    def __init__(self):
        import duckdb
        self.connection = duckdb.connect()
        self.name, self.version = "duckdb", duckdb.__version__

    def write(self, path, columns, text, cursor):
        # by way of a file: rows given one by one would take a hundred times as long
        between, count = f"{path}.csv", 0
        with open(between, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_MINIMAL)
            for row in cursor:
                # what is nothing is written as a word that no text is: every text begins with "="
                writer.writerow(["NULL" if v is None else f"={v}" if c in text else v
                                 for c, v in zip(columns, row)])
                count += 1
        types = ", ".join(f"'{c}': '{'VARCHAR' if c in text else 'BIGINT'}'" for c in columns)
        values = ", ".join(f'"{c}"[2:] AS "{c}"' if c in text else f'"{c}"' for c in columns)
        self.connection.execute(
            f"COPY (SELECT {values} FROM read_csv('{quoted(between)}', columns = {{{types}}}, "
            f"header = false, nullstr = 'NULL', auto_detect = false, quote = '\"', escape = '\"', "
            f"delim = ',', max_line_size = 100000000)) TO '{quoted(path)}' "
            "(FORMAT parquet, COMPRESSION zstd)")
        os.unlink(between)
        return count


def quoted(path):
    return str(path).replace("'", "''")


def engine():
    wanted = os.environ.get("TIDEMARK_PARQUET", "")  # for tests: one of the two alone
    for kind in (Arrow, Duck):
        try:
            if wanted in ("", kind.__name__.lower()):
                return kind()
        except ImportError:
            pass
    raise SystemExit(4)


def plain(path):
    return os.fsdecode(urllib.parse.unquote_to_bytes(path))


def read(path):
    query = "mode=ro" if os.path.exists(f"{path}-wal") else "mode=ro&immutable=1"
    db = sqlite3.connect(f"{pathlib.Path(path).absolute().as_uri()}?{query}", uri=True)
    db.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return db


def convert(writer, out, tables, number, trace, counts):
    rank = trace["rank"]
    db = read(plain(trace["path"]))
    try:
        for table in tables:
            partition = "__HIVE_DEFAULT_PARTITION__" if rank is None else rank
            folder = out / table["name"] / f"rank={partition}"
            folder.mkdir(parents=True, exist_ok=True)
            cursor = db.execute(table["sql"])
            columns = [c[0] for c in cursor.description]
            counts[table["name"]] = counts.get(table["name"], 0) + writer.write(
                folder / f"part-{number}.parquet", columns, set(table["text"].split()), cursor)
    finally:
        db.close()


def store(db, name, rows, *columns):
    """A table of dictionaries; what is no number and no text is JSON. columns: at least these."""
    columns = list(dict.fromkeys([*columns, *(k for row in rows for k in row)]))
    db.execute('CREATE TABLE "%s" (%s)' % (name, ", ".join(f'"{c}"' for c in columns)))
    db.executemany('INSERT INTO "%s" VALUES (%s)' % (name, ", ".join("?" * len(columns))), [
        [json.dumps(v) if isinstance(v, (list, dict)) else v
         for v in (row.get(c) for c in columns)] for row in rows])


def summarise(out, job):
    db = sqlite3.connect(out / "summary.db")
    head = dict(job["job"])
    others = {k: head.pop(k) for k in ("others", "unreadable")}
    ranks = [dict(r) for r in job["ranks"]]
    held = [{"rank": r["rank"], "trace": r["trace"], **b} for r in ranks
            for b in r.pop("by_bucket", [])]
    store(db, "job", [head])
    store(db, "rank", ranks)
    store(db, "rank_bucket", held, "rank", "trace", "bucket", "bytes")
    store(db, "spread_bucket", job["by_bucket"], "bucket")
    store(db, "spread_place", job["by_place"], "bucket", "place", "sentence")
    store(db, "process_group", job["groups"], "what", "ranks")
    store(db, "missing_rank", [{"rank": r} for r in head["missing_ranks"]], "rank")
    store(db, "other_job", others["others"], "name", "trace", "traces")
    store(db, "unreadable", others["unreadable"], "trace", "why")
    db.commit()
    db.close()


def main():
    wish = json.load(sys.stdin)
    writer, out, counts = engine(), pathlib.Path(plain(wish["out"])), {}
    say("engine", writer.name, writer.version)
    for number, trace in enumerate(wish["traces"]):
        try:
            convert(writer, out, wish["tables"], number, trace, counts)
        except sqlite3.Error as error:
            say("failed", repr(plain(trace["path"]))[1:-1], error)
        say("rank", number + 1)
    if wish.get("job"):
        summarise(out, wish["job"])
    for name, count in counts.items():
        say("rows", name, count)


main()
