"""parquet.py - writes a table as Parquet: `tidemark export --format parquet` starts it.

usage: python -c THIS OUT NAME:TYPE...    TYPE: i, a whole number of 64 bits, or t, a text
The table comes on stdin as CSV with a header; nothing between two commas is NULL. It is read and
written in pieces, by pyarrow or else by duckdb; without either the exit status is 5, and 6 where one
has failed and said so."""
import os
import sys

sys.path = [p for p in sys.path if p]  # nothing of the folder that this is called in


def with_pyarrow(out, columns):
    import pyarrow
    from pyarrow import csv, parquet

    types = {"i": pyarrow.int64(), "t": pyarrow.string()}
    schema = pyarrow.schema([(name, types[kind]) for name, kind in columns])
    reader = csv.open_csv(
        sys.stdin.buffer, csv.ReadOptions(block_size=4 << 20, use_threads=False),
        csv.ParseOptions(newlines_in_values=True),
        csv.ConvertOptions(column_types=schema, null_values=[""], strings_can_be_null=True,
                           quoted_strings_can_be_null=False))
    with parquet.ParquetWriter(out, schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(batch)


def with_duckdb(out, columns):
    import duckdb

    def quoted(text):
        return "'" + text.replace("'", "''") + "'"

    types = ", ".join(f"{quoted(name)}: '{'BIGINT' if kind == 'i' else 'VARCHAR'}'"
                      for name, kind in columns)
    duckdb.connect().execute(
        f"COPY (SELECT * FROM read_csv('/dev/stdin', header = true, auto_detect = false, delim = ',', "
        f"quote = '\"', escape = '\"', nullstr = '', allow_quoted_nulls = false, columns = {{{types}}})) "
        f"TO {quoted(out)} (FORMAT parquet, COMPRESSION zstd)")


def main(out, *columns):
    columns = [tuple(column.rsplit(":", 1)) for column in columns]
    for write in with_pyarrow, with_duckdb:
        try:
            write(out, columns)
            return 0
        except ImportError:
            continue
        except Exception as e:
            reason = str(e).splitlines()[:1] or [type(e).__name__]
            sys.stderr.write(f"tidemark: cannot write Parquet: {reason[0]}\n")
            sys.stderr.flush()
            return 6
    return 5


# Not sys.exit(): what is written is closed, and pyarrow's threads may end a Python that ends (they
# "terminate called without an active exception").
os._exit(main(*sys.argv[1:]))
