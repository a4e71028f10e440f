// Package replay runs the code of today on stores that earlier versions wrote.
//
// Each folder of testdata is one: store.jsonl is what the streams held when its nodes had stopped, in the middle of things;
// questions.json is what was asked afterwards, and what the version that wrote it answered. The test puts the store onto a
// server, starts a node of today and asks the same, in virtual time: it is then what it was when the store was written. An
// answer that differs is a promise broken: mend the code, never the file.
//
// `make record NAME=…` adds a folder, written by the code of today, and touches no other. Do so when the bytes of records,
// streams or buckets have changed, or before that. The types of [types] are run functions that recorded logs are replayed
// with: whoever changes what one of them does breaks that, too.
package replay
