/* test_quantity.c - numbers as people type them. */
#include "quantity.h"
#include "../test.h"

static int64_t value;

TEST("counts are exact in every spelling")
{
	CHECK(!quantity_count("7B", &value) && value == 7000000000);
	CHECK(!quantity_count("7e9", &value) && value == 7000000000);
	CHECK(!quantity_count("1.1e8", &value) && value == 110000000);
	CHECK(!quantity_count("6.7B", &value) && value == 6700000000);
	CHECK(!quantity_count("110M", &value) && value == 110000000);
	CHECK(!quantity_count("1.235814400e9", &value) && value == 1235814400);
	CHECK(!quantity_count("9007199254740993", &value) && value == 9007199254740993);
	CHECK(!quantity_count("0", &value) && value == 0);
}

TEST("sizes know decimal and binary units")
{
	CHECK(!quantity_size("24GB", &value) && value == 24000000000);
	CHECK(!quantity_size("24GiB", &value) && value == 25769803776);
	CHECK(!quantity_size("24g", &value) && value == 25769803776);
	CHECK(!quantity_size("0.5 GB", &value) && value == 500000000);
	CHECK(!quantity_size("1.5MiB", &value) && value == 1572864);
	CHECK(!quantity_size("512", &value) && value == 512);
}

TEST("what is no number is refused by its kind")
{
	static const char *const nonsense[] = {
	        "",    "x", "-1",  "1..2",  "1e",  "0x10", "nan", "inf",  "7Q",
	        "1e-", ".", "1 2", "1e5e5", "7BB", "+5",   " 5",  "1,000"};
	for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++)
		CHECK(quantity_count(nonsense[i], &value) == QUANTITY_NONSENSE);
	CHECK(quantity_count("1.5", &value) == QUANTITY_FRACTION);
	CHECK(quantity_count("1e-3", &value) == QUANTITY_FRACTION);
	CHECK(quantity_count("1e30", &value) == QUANTITY_HUGE);
	CHECK(quantity_count("9223372036854775808", &value) == QUANTITY_HUGE);
	CHECK(quantity_count("1e999999999999999999999", &value) == QUANTITY_HUGE);
	CHECK(quantity_size("99999999TiB", &value) == QUANTITY_HUGE);
}

TEST("factors are kept in millionths")
{
	CHECK(!quantity_factor("2", &value) && value == 2000000);
	CHECK(!quantity_factor("1.25", &value) && value == 1250000);
	CHECK(quantity_factor("2x", &value) == QUANTITY_NONSENSE);
}

TEST_MAIN
