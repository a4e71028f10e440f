package main

const (
	defaultURL = "nats://127.0.0.1:4222" // which cmd/client and the nats tool use when told no other
	client     = "go run ./cmd/client"
	natsTool   = "go run github.com/nats-io/natscli/nats@v0.5.1" // or nats, where it is installed
)

// try returns command lines to paste, from the repository's root, while a node with its NATS server at url is up.
func try(url, prefix string) []string {
	client, nats, dot := client, natsTool, ""
	if prefix != "" {
		client, dot = client+" --prefix "+prefix, prefix+"."
	}
	switch url {
	case "": // nobody outside this process can reach it
		return nil
	case defaultURL:
	default:
		client += " --nats " + url
		nats += " -s " + url
	}
	return []string{
		client + ` call counter/alice action '{"type":"increment"}'`,
		client + ` call tally/bob add '{"n":2}'`,
		client + ` events counter/alice`,
		client + ` call session/ann message '{"role":"user","content":"hello"}'`,
		client + ` tail session/ann`,
		nats + ` request ` + dot + `call.counter.alice.action '{"type":"get"}'`,
		nats + ` request ` + dot + `hook.counter.alice.action '{"type":"increment","amount":5}'`,
	}
}
