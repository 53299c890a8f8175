"""Reading a trace with nothing but schema.sql's word for it."""

import ctypes
import sqlite3
import subprocess
import sys
from collections import namedtuple

Birth = namedtuple(
    "Birth",
    "id device bytes requested born_step born died_step died phase bucket rule module op shape "
    "dtype thread",
)

BIRTHS = """
SELECT a.id, d.name, a.bytes, a.requested, a.born_step, a.born, a.died_step, a.died, p.name,
       b.name, r.name, coalesce(m.name, m.class), o.name, sh.dims, sh.dtype, t.name
FROM allocation a JOIN device d ON d.id = a.device JOIN site s ON s.id = a.site
JOIN phase p ON p.id = s.phase JOIN bucket b ON b.id = a.bucket JOIN rule r ON r.id = a.rule
LEFT JOIN module m ON m.id = s.module LEFT JOIN op o ON o.id = s.op
LEFT JOIN shape sh ON sh.id = s.shape LEFT JOIN thread t ON t.id = s.thread
"""


class Trace:
    def __init__(self, path):
        self.path = path
        self.db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)

    def all(self, sql, *values):
        return self.db.execute(sql, values).fetchall()

    def one(self, sql, *values):
        rows = self.all(sql, *values)
        assert len(rows) == 1, (sql, rows)
        return rows[0][0] if len(rows[0]) == 1 else rows[0]

    @property
    def losses(self):
        """What was lost or did not agree: {} in a good trace."""
        return dict(self.all("SELECT name, count FROM lost WHERE count > 0"))

    def births(self, device=None):
        """Allocations with rows of their own, in the order in which they were made."""
        rows = map(Birth._make, self.all(BIRTHS + " ORDER BY a.born_step, a.born"))
        return [b for b in rows if device in (None, b.device)]

    def steps(self):
        return self.all(
            "SELECT id, same_as, events, micro_steps, complete FROM step ORDER BY id"
        )

    def step_device(self, device):
        """{step: (start, end, peak)} of allocated bytes."""
        rows = self.all(
            "SELECT sd.step, sd.start_allocated, sd.end_allocated, sd.peak_allocated "
            "FROM step_device sd JOIN device d ON d.id = sd.device WHERE d.name = ?", device,
        )
        return {step: figures for step, *figures in rows}

    def peak(self, device):
        return self.one("SELECT allocated_bytes FROM v_peak WHERE device = ?", device)

    def live_at(self, device, step, ordinal):
        """Rows live in a step at an ordinal: rules A and B of schema.sql's head."""
        pattern = self.one("SELECT coalesce(same_as, id) FROM step WHERE id = ?", step)
        live = []
        for a in self.births(device):
            if a.born_step < step and (a.died_step is None or a.died_step > step):
                live.append(a)
            elif a.born_step == pattern or (a.born_step < pattern and a.died_step == pattern):
                born = a.born_step < pattern or a.born <= ordinal
                dead = a.died_step == pattern and a.died <= ordinal
                if born and not dead:
                    live.append(a)
        return live


def between_marks(births, truth):
    """[(phase the script says, allocation)] in order, markers left out; checks the markers."""
    sizes = {size: phase for size, phase in truth["marks"]}
    seen, pairs, phase = [], [], None
    for b in births:
        mark = b.requested if b.dtype == "uint8" and b.shape == f"[{b.requested}]" else None
        if mark in sizes:
            seen.append(mark)
            phase = sizes[mark]
        elif phase is not None:
            pairs.append((phase, b))
    assert seen == [size for size, _ in truth["marks"]], "markers are missing or out of order"
    return pairs


def recover(library, path):
    """tidemark_recover() in a process of its own: (return code, sentence)."""
    code = (
        "import ctypes, sys\n"
        "lib = ctypes.CDLL(sys.argv[1])\n"
        "text = ctypes.create_string_buffer(1024)\n"
        "rc = lib.tidemark_recover(sys.argv[2].encode(), None, text, ctypes.c_size_t(1024))\n"
        "print(rc, text.value.decode())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(library), str(path)], text=True, capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    rc, _, message = done.stdout.strip().partition(" ")
    return int(rc), message
