// A counter, called from Node.js over NATS: node main.js [URL] [KEY]
// Nothing here is Perdure's: subjects, headers and JSON are the whole interface.

import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect, headers } from "@nats-io/transport-node";
import { randomUUID } from "node:crypto";

const [url = "nats://127.0.0.1:4222", key = "alice"] = process.argv.slice(2);

// A key is one token of a subject: other bytes than these are written %XX.
function encodeKey(key) {
  return [...Buffer.from(key)]
    .map((byte) => String.fromCharCode(byte))
    .map((c) => /[A-Za-z0-9_:@=~-]/.test(c) ? c : "%" + c.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0"))
    .join("");
}

const nc = await connect({ servers: url });
const js = jetstream(nc);
const jsm = await jetstreamManager(nc);
const object = `counter.${encodeKey(key)}`;

// call waits for the outcome, which is durable when it arrives. A failure is told in headers.
async function call(hook, payload, extra = {}) {
  const h = headers();
  h.set("Perdure-Call-Id", randomUUID()); // repeating it would give the same outcome, not a second increment
  for (const [name, value] of Object.entries(extra)) h.set(name, value);
  const reply = await nc.request(`call.${object}.${hook}`, JSON.stringify(payload), { headers: h, timeout: 30_000 });
  if (reply.headers?.get("Nats-Service-Error-Code")) {
    const { code, message, source, details } = reply.json();
    throw Object.assign(new Error(message), { code, source, details });
  }
  return { result: reply.json(), seq: Number(reply.headers?.get("Perdure-Seq")) };
}

// send is durable when it is acknowledged, and applied once. Its sequence is the inbox's.
async function send(hook, payload) {
  const h = headers();
  h.set("Perdure-Call-Id", randomUUID());
  const ack = await js.publish(`hook.${object}.${hook}`, JSON.stringify(payload), { headers: h });
  return ack.seq;
}

// follow yields the object's records, oldest first, and waits for more. Each may hold several events.
async function* follow() {
  const { result: { partition } } = await call("$describe", null);
  const subject = `log.${partition}.${object}`;
  const stream = await jsm.streams.find(subject);
  const consumer = await js.consumers.get(stream, { filter_subjects: subject }); // an ordered consumer
  for await (const message of await consumer.consume()) {
    yield { seq: message.seq, ...message.json() };
  }
}

const before = await call("action", { type: "get" });
console.log(`get: ${before.result}`);

const called = await call("action", { type: "increment", amount: 2 });
console.log(`call increment 2: ${called.result}`);

const accepted = await send("action", { type: "increment" });
console.log("send increment: accepted");

const after = await call("action", { type: "get" }, { "Perdure-After": String(accepted) }); // not before the send
console.log(`get: ${after.result}`);

try {
  await call("action", { type: "multiply" });
} catch (error) {
  if (!error.code) throw error;
  console.log(`call multiply: ${error.code} from ${error.source}: ${error.message}`);
}

follow: for await (const record of follow()) {
  for (const event of record.events) {
    const value = JSON.stringify(event.payload ?? event.result);
    console.log(["event", event.type, event.name, value].filter(Boolean).join(" "));
  }
  if (record.seq >= after.seq) break follow;
}

await nc.close();
