/* Rows of a sparsity pattern: sets of columns, kept once and named by an id.
 *
 * A set is a list of runs, ascending, with gaps between them; so a band, a prefix or a full row takes one run. Sets never
 * change: a union is another row, or one of the two where it holds the other. Row 0 is the empty one. Functions that make
 * rows return a negative code when that fails. */
#ifndef SPARSEAD_ROWS_H
#define SPARSEAD_ROWS_H

#include <stdint.h>

enum { ROWS_NO_MEMORY = -1, ROWS_TOO_MANY = -2 };

typedef struct {
    int32_t lo, hi; /* columns lo .. hi - 1 */
} run;

typedef struct {
    int32_t a, b, both;
} union_memo;

typedef struct {
    run *runs;
    int64_t *start; /* row r is runs[start[r]] .. runs[start[r + 1] - 1] */
    int64_t n_runs, cap_runs, cap_rows;
    int32_t n_rows;
    union_memo *memo;
    run *scratch[2];
    int64_t *segment;
    int64_t cap_scratch, cap_segments;
} row_table;

int rows_init(row_table *table);
void rows_free(row_table *table);

/* n rows of one column each: first, first + 1, ... */
int rows_units(row_table *table, int32_t first, int64_t n, int32_t *ids);

int32_t rows_unite(row_table *table, int32_t a, int32_t b);
int32_t rows_unite_many(row_table *table, const int32_t *ids, int64_t n);

/* ids[i] becomes the union of ids[0] .. ids[i]; of `more`, where given, element 0 is left out. */
int rows_unite_prefixes(row_table *table, int32_t *ids, const int32_t *more, int64_t n);

/* Compressed rows: number of columns of each id, then the columns themselves. */
int64_t rows_count(const row_table *table, const int32_t *ids, int64_t n, int64_t *counts);
int32_t *rows_expand(const row_table *table, const int32_t *ids, int64_t n, int32_t *columns);

/* Drop rows that nobody names: set new_id (n_rows zeros) to 1 for all ids in use, squeeze, then rename the ids. */
void rows_mark(int32_t *new_id, const int32_t *ids, int64_t n);
void rows_squeeze(row_table *table, int32_t *new_id);
void rows_rename(const int32_t *new_id, int32_t *ids, int64_t n);

#endif
