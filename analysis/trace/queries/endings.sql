-- A table by which the view `ended` finds what ends in a step without a look at all that began
-- before it.
CREATE TEMP TABLE ending (
	step INTEGER,
	id INTEGER,
	PRIMARY KEY (step, id)
) WITHOUT ROWID;
INSERT INTO ending SELECT died_step, id FROM crossing WHERE died_step NOT NULL ORDER BY 1, 2;
DROP VIEW ended;
CREATE TEMP VIEW ended AS
SELECT a.*, e.step AS ends FROM ending e CROSS JOIN allocation a ON a.id = e.id;
