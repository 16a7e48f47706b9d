// What ClickHouse's own client for JavaScript does with the server; prints its checks.
import assert from "node:assert/strict";
import { createClient } from "@clickhouse/client";

const [port, readerSecret, writerSecret] = process.argv.slice(2);
const common = { url: `http://127.0.0.1:${port}`, compression: { response: true, request: true } };
const reader = createClient({ ...common, username: "reader", password: readerSecret, database: "marts" });
const writer = createClient({
  ...common, username: "writer", password: writerSecret, database: "staging", session_id: "js",
});
const rows = async (client, query, more = {}) =>
  (await client.query({ query, format: "JSONEachRow", ...more })).json();
const prices = [{ symbol: "AAPL", close: 1.5 }, { symbol: "MSFT", close: 2.5 }];
const all = "SELECT symbol, close FROM prices ORDER BY symbol";

assert.ok((await reader.ping()).success && (await reader.ping({ select: true })).success);
assert.deepEqual(await rows(reader, all), prices);
for (const format of ["JSON", "JSONCompact", "JSONStrings", "JSONColumnsWithMetadata"]) {
  assert.equal((await (await reader.query({ query: all, format })).json()).rows, 2);
}
assert.deepEqual(await rows(reader, `${all} LIMIT 0`), []);
const query_params = { a: ["x'y"], s: "t\tab\\'", n: null };
const echoed = "SELECT {a:Array(String)} AS a, {s:String} AS s, {n:Nullable(String)} AS n";
assert.deepEqual(await rows(reader, echoed, { query_params }), [query_params]);

await writer.command({ query: "CREATE OR REPLACE TABLE js (a Int32, b String) ENGINE MergeTree ORDER BY a" });
const values = [{ a: 1, b: "x;" }, { a: 2, b: "é" }];
const { summary } = await writer.insert({ table: "js", values, format: "JSONEachRow" });
assert.equal(summary.written_rows, "2");
assert.deepEqual(await rows(writer, "SELECT * FROM js ORDER BY a"), values);

let count = 0;
const stream = await reader.query({ query: "SELECT number FROM numbers(100000)", format: "JSONEachRow" });
for await (const part of stream.stream()) count += part.length;
assert.equal(count, 100000);
const narrow = { clickhouse_settings: { readonly: "1", max_execution_time: 65 } };
assert.equal((await rows(reader, all, narrow)).length, 2);
await assert.rejects(rows(reader, "SELECT nope", { clickhouse_settings: {} }), { code: "47" });
await reader.close();
await writer.close();
console.log("@clickhouse/client");
