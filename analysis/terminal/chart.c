/* chart.c - a block chart with a byte scale at its left.
 * Called from: answers/, commands/, job/. */
#include "chart.h"
#include "text.h"
#include "whole.h"

int chart_width(void)
{
	int width = term.width - CHART_LEFT - 1;
	return width > CHART_COLUMNS ? CHART_COLUMNS : width;
}

/* The scale: a label on every other row, all in one unit, at round numbers. */
struct scale {
	double top; /* bytes at the upper edge */
	double step, unit;
	int decimals;
	const char *name;
};

static struct scale fit_scale(int64_t most, int ticks)
{
	static const double rounds[] = {1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10};
	static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
	struct scale scale = {.unit = 1};
	double wish, ten = 1;
	int unit = 0;

	for (; (double)most / scale.unit >= 1024 && unit < 5; unit++)
		scale.unit *= 1024;
	scale.name = names[unit];
	wish = (double)most / scale.unit / ticks;
	for (; wish / ten < 1; scale.decimals++)
		ten /= 10;
	while (wish / ten > 10)
		ten *= 10;
	for (int i = 0; i < 11; i++) {
		if (rounds[i] * ten < wish)
			continue;
		scale.step = rounds[i] * ten;
		/* 1.2, 1.5 and 2.5 take one more place than the power of ten. */
		if (ten <= 1 && rounds[i] != (double)whole_of(rounds[i]))
			scale.decimals++;
		break;
	}
	scale.top = scale.step * ticks * scale.unit;
	return scale;
}

/* What a cell shows: 1 to 8 eighths filled from below, LINE_HERE, or 0: nothing. */
enum { LINE_HERE = -1 };

static int look_at(const struct chart *chart, int column, int row, double top)
{
	double cell = top / chart->rows;
	int64_t eighths = whole_of((double)chart->value[column] / cell * 8 + 0.5);
	int64_t filled = eighths - 8 * row;
	int64_t line = chart->line[column];

	if (chart->value[column] > 0 && !row && filled < 1)
		filled = 1; /* something is never drawn as nothing */
	if (filled > 0)
		return filled > 8 ? 8 : (int)filled;
	return line > 0 && whole_of((double)(line - 1) / cell) == row ? LINE_HERE : 0;
}

static void print_cell(const struct chart *chart, int column, int shown, FILE *out)
{
	enum style color = chart->style[column];

	if (shown > 0)
		fprintf(out, "%s%s%s", color != PLAIN ? style(color) : "",
		        block_up(shown), color != PLAIN ? style(PLAIN) : "");
	else
		fputs(shown == LINE_HERE ? sign(LINE) : " ", out);
}

void chart_print(const struct chart *chart, FILE *out)
{
	int64_t most = 1;
	struct scale scale;

	for (int c = 0; c < chart->columns; c++) {
		most = chart->value[c] > most ? chart->value[c] : most;
		most = chart->line[c] > most ? chart->line[c] : most;
	}
	scale = fit_scale(most, chart->rows / 2);
	for (int row = chart->rows - 1; row >= 0; row--) {
		int last = chart->columns;
		char label[CHART_LEFT] = "";
		/* A label names the height of its row's upper edge. */
		if (row % 2)
			snprintf(label, sizeof(label), "%.*f %s", scale.decimals,
			         scale.step * (row + 1) / 2, scale.name);
		fprintf(out, "%s%*s %s%s", style(DIM), CHART_LEFT - 2, label,
		        row % 2 ? sign(AXIS) : sign(BAR), style(PLAIN));
		while (last && !look_at(chart, last - 1, row, scale.top))
			last--;
		for (int c = 0; c < last; c++)
			print_cell(chart, c, look_at(chart, c, row, scale.top), out);
		fputc('\n', out);
	}
}

void chart_axis(const struct chart *chart, const char *starts, FILE *out)
{
	fprintf(out, "%s%*s %s", style(DIM), CHART_LEFT - 2, "0", sign(CORNER));
	for (int c = 0; c < chart->columns; c++)
		fputs(starts && starts[c] ? sign(TICK) : sign(LINE), out);
	fprintf(out, "%s\n", style(PLAIN));
}

void chart_legend(const char *bars, const char *line, FILE *out)
{
	fprintf(out, "%*s%s%s %s  %s %s%s\n", CHART_LEFT, "", style(DIM), block_up(8),
	        bars, sign(LINE), line, style(PLAIN));
}

void chart_ends(const struct chart *chart, const char *left, const char *right,
                FILE *out)
{
	int used = text_width(left), rest = chart->columns - text_width(right);

	fprintf(out, "%*s%s%s", CHART_LEFT, "", style(DIM), left);
	if (*right)
		fprintf(out, "%*s%s", rest > used ? rest - used : 2, "", right);
	fprintf(out, "%s\n", style(PLAIN));
}
