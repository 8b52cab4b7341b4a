// Uses the generated types as a product would, and runs against the mock server: `node out/use.js URL`.
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

declare const process: { argv: string[] };

function hold(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(what);
}

const api = createClient<paths>({ baseUrl: process.argv[2] ?? "", headers: { authorization: "Bearer any" } });

const call: components["schemas"]["ExecuteRequest"] = {
  connector: "billing-api",
  operation: "request",
  input: { method: "POST", path: "/v1/refunds" },
};
const done = await api.POST("/execute", { body: call, params: { header: { "Idempotency-Key": "order-7" } } });
hold(done.data?.status === "succeeded", "the call succeeds");

const refused = await api.POST("/execute", { body: { ...call, operation: "broken" } });
const problem: components["schemas"]["Problem"] | undefined = refused.error;
hold(problem?.code === "upstream_rejected" && problem.upstream?.status === 402, "a failure is a problem with its code");

const accepted = await api.POST("/jobs", { body: { ...call, metadata: { order: "7" } } });
hold(accepted.data !== undefined, "the job is accepted");
const job = await api.GET("/jobs/{id}", { params: { path: { id: accepted.data.id }, query: { wait_ms: 30000 } } });
const status: components["schemas"]["JobStatus"] | undefined = job.data?.status;
hold(status === "succeeded", "the job is done");

const events = await api.GET("/events", { params: { query: { type: "job.succeeded" } } });
// The route answers a page, or the stream to those who ask for one.
hold(typeof events.data === "object", "a page of events");
const kinds: components["schemas"]["EventType"][] = events.data.items.map((event) => event.type);
hold(kinds.includes("job.succeeded"), "the job is told of");
