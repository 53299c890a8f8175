/* test_dtypes.c - dtypes that a later torch may bring: named by their number, of no known size. */
#include "../test.h"
#include "by_hand.h"
#include "shape.h"

/* The first number that is in no list, the largest and the least there can be. */
enum { NEXT = 46, LARGEST = 127, LEAST = -1, FLOAT32 = 6, BFLOAT16 = 15 };

static int64_t bytes_of(int dtype, const int64_t *strides)
{
	static const int64_t sizes[] = {3, 5};
	const struct tmk_doing doing = {
	        .sizes = sizes, .strides = strides, .dims = 2, .dtype = (int8_t)dtype};
	return tmk_shape_bytes(&doing);
}

TEST("the size of a dtype that is not known is not guessed")
{
	static const int64_t apart[] = {10, 1};
	static const int unknown[] = {NEXT, LARGEST, LEAST};
	for (size_t i = 0; i < sizeof(unknown) / sizeof(*unknown); i++) {
		CHECK(bytes_of(unknown[i], NULL) == -1);
		CHECK(bytes_of(unknown[i], apart) == -1);
	}
	CHECK(bytes_of(FLOAT32, NULL) == 3 * 5 * 4);
	CHECK(bytes_of(BFLOAT16, NULL) == 3 * 5 * 2);
	CHECK(bytes_of(FLOAT32, apart) == (2 * 10 + 4 * 1 + 1) * 4);
}

static void shape(uint32_t id, int dtype)
{
	struct tmk_rec_shape r = {
	        .head = {sizeof(r), 1, TMK_REC_SHAPE, 0, next_seq++, 0},
	        .id = id,
	        .dtype = (int8_t)dtype,
	        .dims = 2,
	        .size = {3, 5}};
	tmk_model_apply(model, &r.head, (int64_t)next_seq * 1000);
}

static const char *dtype_of(int64_t id)
{
	char sql[128];
	snprintf(sql, sizeof(sql),
	         "SELECT dtype || ' ' || dims FROM shape WHERE id = %lld",
	         (long long)id);
	return text(sql);
}

TEST("the name of a dtype that is not known is its number")
{
	begin();
	shape(1, NEXT);
	shape(2, LARGEST);
	shape(3, LEAST);
	shape(4, FLOAT32);
	shape(5, NEXT - 1);
	CHECK_TEXT(dtype_of(1), "unknown dtype 46 [3, 5]");
	CHECK_TEXT(dtype_of(2), "unknown dtype 127 [3, 5]");
	CHECK_TEXT(dtype_of(3), "unknown dtype -1 [3, 5]");
	CHECK_TEXT(dtype_of(4), "float32 [3, 5]");
	CHECK_TEXT(dtype_of(5), "float4_e2m1fn_x2 [3, 5]");
	end();
	close_all();
}

TEST("what a tensor of such a dtype needs is not in the trace, its block is")
{
	begin();
	requested = -1;
	take(0x100000, 10001, TMK_OPEN);
	requested = 0;
	take(0x200000, 20001, TMK_OPEN);
	end();
	CHECK(number("SELECT requested FROM allocation WHERE bytes = 10001") ==
	      TMK_NULL);
	CHECK(number("SELECT requested FROM allocation WHERE bytes = 20001") == 20001);
	close_all();
}

TEST_MAIN
