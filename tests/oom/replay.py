"""What tidemark says, worked out a second time from a trace's tables and nothing else."""
import sqlite3


class Trace:
    def __init__(self, path):
        self.db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)

    def oom(self):
        names = ("step ordinal time_ns requested_bytes allocated_bytes reserved_bytes "
                 "device_free_bytes device_total_bytes").split()
        return dict(zip(names, self.db.execute(
            f"SELECT {', '.join(names)} FROM oom ORDER BY id DESC").fetchone()))

    def blocks(self, step, ordinal):
        """[(address, bytes, bucket)] alive in a raw step before the event `ordinal`."""
        alive = []
        for row in self.db.execute(
                "SELECT address, bytes, b.name, born_step, born, died_step, died "
                "FROM allocation JOIN bucket b ON b.id = bucket"):
            address, size, bucket, born_step, born, died_step, died = row
            if (born_step, born) < (step, ordinal) and (
                    died_step is None or (died_step, died) >= (step, ordinal)):
                alive.append((address, size, bucket))
        return sorted(alive)

    def segments(self, time_ns):
        # a dictionary: recovery after a crash may write a segment a second time
        return sorted(dict(self.db.execute(
            "SELECT address, bytes FROM segment WHERE host = 0 AND born_ns <= ? AND "
            "(died_ns IS NULL OR died_ns > ?)", (time_ns, time_ns))).items())

    def holes(self, step, ordinal, time_ns):
        """Sizes of what lies between the blocks of each segment."""
        blocks = self.blocks(step, ordinal)
        for start, size in self.segments(time_ns):
            at = start
            for address, bytes_, _ in blocks:
                if start <= address < start + size:
                    if address > at:
                        yield address - at
                    at = address + bytes_
            if at < start + size:
                yield start + size - at
