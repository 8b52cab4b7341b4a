// graphile-worker on jobs that do nothing, as its own performance test has it: jobs are added first, then run until none is left.
const { runMigrations, run } = require("graphile-worker");
const { Pool } = require("pg");

(async () => {
  const jobs = Number(process.env.JOBS);
  const pgPool = new Pool({ connectionString: process.env.DATABASE_URL, max: 20 });
  const logger = { scope: () => logger, error() {}, warn() {}, info() {}, debug() {} };
  await runMigrations({ pgPool });
  await pgPool.query(
    "select count(graphile_worker.add_job('nothing', json_build_object('id', i))) from generate_series(1, $1) i",
    [jobs],
  );
  let done = 0;
  let all;
  const ended = new Promise((resolve) => (all = resolve));
  const began = process.hrtime.bigint();
  const runner = await run({
    pgPool,
    concurrency: 24,
    noHandleSignals: true,
    preset: { worker: { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } },
    taskList: {
      nothing: () => {
        done += 1;
        if (done === jobs) all();
      },
    },
  });
  await ended;
  for (;;) {
    const left = await pgPool.query("select count(*)::int as left from graphile_worker._private_jobs");
    if (left.rows[0].left === 0) break;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  await runner.stop();
  await pgPool.end();
  console.log("rate " + jobs / seconds);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
