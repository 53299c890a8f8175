"""A trace as tables. The file is SQLite's, and schema.sql says what is in it."""

import pathlib
import sqlite3
from collections.abc import Mapping


class Trace(Mapping):
    """The views and tables of one trace, by name; read when they are asked for.

    A table is a pandas.DataFrame, or a list of dicts where there is no pandas."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        if not self.path.is_file():
            raise FileNotFoundError("there is no trace '{}'".format(path))
        names = self._select("SELECT name FROM sqlite_master WHERE type = 'view' "
                             "UNION ALL SELECT name FROM sqlite_master WHERE type = 'table'")[1]
        self._names = [name for (name,) in names if not name.startswith("sqlite_")]

    def _select(self, query, parameters=()):
        connection = sqlite3.connect(self.path.absolute().as_uri() + "?mode=ro", uri=True)
        try:
            cursor = connection.execute(query, parameters)
            return [column[0] for column in cursor.description], cursor.fetchall()
        finally:
            connection.close()

    def sql(self, query, parameters=()):
        """What a query of one's own selects."""
        columns, rows = self._select(query, parameters)
        try:
            import pandas
        except ImportError:
            return [dict(zip(columns, row)) for row in rows]
        return pandas.DataFrame.from_records(rows, columns=columns)

    def __getitem__(self, name):
        if name not in self._names:
            raise KeyError(name)
        return self.sql('SELECT * FROM "{}"'.format(name))

    def __iter__(self):
        return iter(self._names)

    def __len__(self):
        return len(self._names)

    def __repr__(self):
        return "<trace {}: {}>".format(
            self.path, ", ".join(name for name in self if name.startswith("v_")))


def load(path):
    """The trace in a file: load("run.db")["v_peak"] is a pandas frame of one row a device.

    The views v_peak, v_peak_live, v_step_peak, v_phase_peak and v_oom stay from one version to
    the next. A run that is still going on can be read; of one that was killed, `tidemark
    report` has first to bring in what the file lacks."""
    return Trace(path)
