/* test_model.c - phases, steps, folding and buckets from records made by hand. */
#include "../test.h"
#include "by_hand.h"

TEST("a plain training step has its phases by what closes each stretch")
{
	begin();
	setup();
	train_step(0);
	train_step(0);
	end();
	CHECK_TEXT(phase_of(10001), "setup");
	CHECK_TEXT(phase_of(40001), "forward");
	CHECK_TEXT(phase_of(50001), "forward");
	CHECK_TEXT(phase_of(60001), "backward");
	CHECK_TEXT(phase_of(80001), "clip");
	CHECK_TEXT(phase_of(90001), "optimizer");
	CHECK_TEXT(text("SELECT p.name FROM allocation a JOIN site s ON s.id = a.site "
	                "JOIN "
	                "phase p ON p.id = s.phase WHERE a.bytes = 30001 AND born_step "
	                "= 2"),
	           "data");
	close_all();
}

TEST("buckets follow from pointers and lifetimes")
{
	begin();
	setup();
	train_step(0);
	train_step(0);
	end();
	CHECK_TEXT(bucket_of(10001), "parameter");
	CHECK_TEXT(bucket_of(40001), "activation");
	CHECK_TEXT(bucket_of(50001), "temporary");
	CHECK_TEXT(bucket_of(60001), "gradient");
	CHECK_TEXT(bucket_of(70001), "temporary");
	CHECK_TEXT(
	        text("SELECT b.name FROM allocation a JOIN bucket b ON b.id = a.bucket "
	             "WHERE a.bytes = 30001 AND born_step = 2"),
	        "input");
	close_all();
}

TEST("what a step keeps that it made is optimizer state")
{
	begin();
	setup();
	at(TMK_AT_FORWARD);
	at(TMK_AT_BACKWARD);
	at(TMK_AT_BACKWARD_END);
	at(TMK_AT_STEP);
	take(0xa00000, 11003, TMK_OPTIMIZER);
	at(TMK_AT_STEP_END);
	end();
	CHECK_TEXT(bucket_of(11003), "optimizer");
	close_all();
}

TEST("steps that repeat are one row each, and their peaks are kept")
{
	begin();
	setup();
	for (int i = 0; i < 10; i++)
		train_step(i % 2 ? 0x1000000 : 0);
	end();
	CHECK(number("SELECT count(*) FROM step WHERE complete") == 10);
	CHECK(number("SELECT count(*) FROM step WHERE same_as NOTNULL") >= 8);
	CHECK(number("SELECT count(DISTINCT peak_allocated) FROM step_device WHERE "
	             "step "
	             "BETWEEN 2 AND 10") == 1);
	/* parameter, other, batch, kept and freed: 10001 + 20001 + 30001 + 60001 + ... */
	CHECK(number("SELECT max(peak_allocated) FROM step_device") ==
	      10001 + 20001 + 30001 + 40001 + 60001 + 70001);
	CHECK(number("SELECT sum(bytes) FROM v_peak_live") ==
	      number("SELECT allocated_bytes FROM v_peak"));
	CHECK(number("SELECT sum(count) FROM lost") == 0);
	close_all();
}

TEST("a step with one byte more is not folded onto the others")
{
	begin();
	setup();
	for (int i = 0; i < 6; i++)
		train_step(0);
	at(TMK_AT_FORWARD);
	take(0xb00000, 12001, TMK_OPEN);
	give(0xb00000, 12001);
	at(TMK_AT_STEP);
	at(TMK_AT_STEP_END);
	for (int i = 0; i < 6; i++)
		train_step(0);
	end();
	CHECK(number("SELECT same_as FROM step WHERE id = 7") == TMK_NULL);
	CHECK(number("SELECT count(*) FROM step WHERE same_as NOTNULL AND id > 7") ==
	      6);
	close_all();
}

TEST("a leak keeps its row in every step, folded or not")
{
	begin();
	setup();
	for (int i = 0; i < 20; i++) {
		take(0xc00000 + 0x10000 * (uint64_t)i, 13001, TMK_OPEN);
		train_step(0);
	}
	end();
	CHECK(number("SELECT count(*) FROM step WHERE same_as NOTNULL") > 15);
	CHECK(number("SELECT count(*) FROM allocation WHERE bytes = 13001 AND "
	             "died_step IS "
	             "NULL") == 20);
	CHECK(number("SELECT sum(bytes) FROM v_peak_live") ==
	      number("SELECT allocated_bytes FROM v_peak"));
	close_all();
}

TEST("micro-steps are counted, and a step has as many as it had backwards")
{
	begin();
	setup();
	for (int i = 0; i < 4; i++) {
		at(TMK_AT_FORWARD);
		take(0xd00000, 14001, TMK_OPEN);
		at(TMK_AT_BACKWARD);
		give(0xd00000, 14001);
		at(TMK_AT_BACKWARD_END);
	}
	at(TMK_AT_STEP);
	at(TMK_AT_STEP_END);
	end();
	CHECK(number("SELECT micro_steps FROM step WHERE complete") == 4);
	close_all();
}

TEST("without gradients and after the setup it is an evaluation")
{
	begin();
	setup();
	train_step(0);
	take_without_gradients(0xe00000, 15001);
	give(0xe00000, 15001);
	at(TMK_AT_FORWARD);
	end();
	CHECK_TEXT(phase_of(15001), "eval");
	close_all();
}

TEST("what setup made and the first steps give back is their batch, not a parameter")
{
	begin();
	setup();
	take(0xf00000, 16001, TMK_OPEN); /* frozen: nothing ever names it */
	train_step(0);
	train_step(0);
	end();
	CHECK_TEXT(bucket_of(30001), "input");
	CHECK_TEXT(bucket_of(10001), "parameter");
	CHECK_TEXT(bucket_of(16001), "parameter");
	close_all();
}

TEST("where the first layers are frozen, what they make without gradients is no "
     "evaluation")
{
	begin();
	setup();
	train_step(0);
	module = 7;
	take(0xa10000, 21001, TMK_OPEN);         /* of a frozen embedding */
	take_without_gradients(0xa20000, 22001); /* sines and cosines */
	at(TMK_AT_FORWARD);
	at(TMK_AT_BACKWARD);
	give(0xa10000, 21001);
	give(0xa20000, 22001);
	at(TMK_AT_BACKWARD_END);
	at(TMK_AT_STEP);
	at(TMK_AT_STEP_END);
	end();
	CHECK_TEXT(phase_of(22001), "forward");
	CHECK_TEXT(bucket_of(22001), "activation");
	close_all();
}

TEST("a wrapper's autograd nodes do not end the setup before a module is called")
{
	begin();
	take(0x100000, 10001, TMK_OPEN);
	at(TMK_AT_FORWARD); /* while parameters are sharded */
	take(0x200000, 20001, TMK_OPEN);
	take(0x300000, 30001, TMK_OPEN); /* the first batch */
	module = 7;
	take(0x400000, 40001, TMK_OPEN);
	module = 0;
	take(0x500000, 50001, TMK_OPEN); /* a loss outside any module */
	at(TMK_AT_BACKWARD);
	give(0x400000, 40001);
	give(0x500000, 50001);
	at(TMK_AT_BACKWARD_END);
	at(TMK_AT_STEP);
	at(TMK_AT_STEP_END);
	give(0x300000, 30001);
	end();
	CHECK_TEXT(phase_of(20001), "setup");
	CHECK_TEXT(bucket_of(20001), "parameter");
	CHECK_TEXT(bucket_of(30001), "input");
	CHECK_TEXT(phase_of(40001), "forward");
	CHECK_TEXT(phase_of(50001), "forward");
	CHECK_TEXT(bucket_of(50001), "activation");
	close_all();
}

TEST("a forward without any module begins where its first node was made")
{
	begin();
	take(0x100000, 10001, TMK_OPEN);
	at(TMK_AT_FORWARD);
	take(0x400000, 40001, TMK_OPEN);
	at(TMK_AT_BACKWARD);
	give(0x400000, 40001);
	at(TMK_AT_BACKWARD_END);
	end();
	CHECK_TEXT(phase_of(40001), "forward");
	CHECK_TEXT(bucket_of(40001), "activation");
	close_all();
}

/* A gathered parameter and an activation go in backward; then the optimizer steps. */
static void give_back_gathered(void)
{
	at(TMK_AT_BACKWARD);
	give(0xb00000, 17001);
	give(0xc00000, 18001);
	at(TMK_AT_BACKWARD_END);
	at(TMK_AT_STEP);
	at(TMK_AT_STEP_END);
	end();
}

TEST("a gathered parameter is communication, though it is a leaf; its shard is the "
     "parameter")
{
	begin();
	setup();
	train_step(0);
	module = 7;
	at(TMK_AT_FORWARD);
	in_frame(1, "foreach_all_gather",
	         "x/torch/distributed/fsdp/_fully_shard/_fsdp_c.py");
	take_without_gradients(0xb00000, 17001);
	point(TMK_POINTER_PARAMETER, 0xb00000);
	in_frame(2, "forward",
	         "x/torch/distributed/fsdp/fully_sharded_data_parallel.py");
	take(0xc00000, 18001, TMK_OPEN);
	give_back_gathered();
	CHECK_TEXT(bucket_of(10001), "parameter");
	CHECK_TEXT(bucket_of(17001), "communication");
	CHECK_TEXT(phase_of(17001), "forward");
	CHECK_TEXT(bucket_of(18001), "activation");
	close_all();
}

TEST("gathering a parameter before the first node of a forward is no evaluation")
{
	begin();
	setup();
	train_step(0);
	module = 7;
	in_frame(1, "_alloc_storage", "x/torch/distributed/utils.py");
	take_without_gradients(0xb00000, 17001);
	at(TMK_AT_FORWARD);
	take(0xc00000, 18001, TMK_OPEN);
	give_back_gathered();
	CHECK_TEXT(phase_of(17001), "forward");
	CHECK_TEXT(bucket_of(17001), "communication");
	close_all();
}

TEST("what a loader outside PyTorch moves to the device is data, between steps too")
{
	begin();
	setup();
	train_step(0);
	at(TMK_AT_ZERO_GRAD);
	at(TMK_AT_ZERO_GRAD_END);
	in_frame(1, "DataLoaderShard.__iter__", "x/accelerate/data_loader.py");
	take(0xd00000, 19001, TMK_OPEN);
	at(TMK_AT_DATA);
	at(TMK_AT_DATA_END);
	end();
	CHECK_TEXT(phase_of(19001), "data");
	CHECK_TEXT(bucket_of(19001), "input");
	close_all();
}

static struct tmk_record record(enum tmk_kind kind, enum tmk_boundary code)
{
	return (struct tmk_record){
	        .thread = 1, .kind = (uint8_t)kind, .code = (uint8_t)code};
}

TEST("two optimizers in a row are one step, unless the first ran a backward itself")
{
	begin();
	setup();
	struct tmk_record step = record(TMK_REC_BOUNDARY, TMK_AT_STEP);
	struct tmk_record forward = record(TMK_REC_BOUNDARY, TMK_AT_FORWARD);
	struct tmk_record zero = record(TMK_REC_BOUNDARY, TMK_AT_ZERO_GRAD);
	at(TMK_AT_STEP);
	at(TMK_AT_STEP_END);
	CHECK(tmk_model_ends_hold(model, &step) == -1);
	CHECK(tmk_model_ends_hold(model, &zero) == 0);
	CHECK(tmk_model_ends_hold(model, &forward) == 1);
	at(TMK_AT_STEP);
	at(TMK_AT_BACKWARD);
	at(TMK_AT_BACKWARD_END);
	at(TMK_AT_STEP_END);
	CHECK(tmk_model_ends_hold(model, &step) == 1);
	end();
	close_all();
}

TEST("a program that marks its steps has those, whatever its optimizers do")
{
	begin();
	setup();
	at(TMK_AT_MARK); /* the first mark ends what came before the first step */
	for (int i = 0; i < 3; i++) {
		train_step(0);
		train_step(0);
		at(TMK_AT_MARK);
	}
	end();
	int64_t complete = number("SELECT count(*) FROM step WHERE complete");
	CHECK(complete == 3 || complete == 4);
	close_all();
}

TEST_MAIN
