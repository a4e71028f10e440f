package main

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/perdure/perdure/actor"
)

const defaultTimeout = 5 * time.Second

// commandLine is everything that can be written after "client".
type commandLine struct {
	Help    helpFlag    `help:"Show how to use the client, or a verb." short:"h"`
	Version versionFlag `help:"Print the version."`

	NATS     string  `name:"nats" placeholder:"URL" group:"Connection" help:"Servers, separated by commas [$$NATS_URL]. Default: those of the context, else nats://127.0.0.1:4222."`
	Context  string  `placeholder:"NAME" group:"Connection" help:"Context of the nats command [$$NATS_CONTEXT]. Default: the one selected there."`
	Creds    string  `placeholder:"FILE" group:"Connection" help:"Credentials file [$$NATS_CREDS]."`
	Nkey     string  `placeholder:"FILE" group:"Connection" help:"NKey seed file [$$NATS_NKEY]."`
	User     string  `placeholder:"NAME" group:"Connection" help:"User [$$NATS_USER]."`
	Password string  `placeholder:"TEXT" group:"Connection" help:"Password [$$NATS_PASSWORD]."`
	Token    string  `placeholder:"TEXT" group:"Connection" help:"Authorization token [$$NATS_TOKEN]."`
	TLSCA    string  `name:"tls-ca" placeholder:"FILE" group:"Connection" help:"Certificate authorities [$$NATS_CA]."`
	TLSCert  string  `name:"tls-cert" placeholder:"FILE" group:"Connection" help:"Client certificate [$$NATS_CERT]."`
	TLSKey   string  `name:"tls-key" placeholder:"FILE" group:"Connection" help:"Its key [$$NATS_KEY]."`
	Prefix   string  `placeholder:"NAME" group:"Connection" help:"Prefix of the installation, as the nodes have it [$$PERDURE_PREFIX]."`
	JSON     bool    `name:"json" help:"Write for programs."`
	Timeout  timeout `placeholder:"5s" group:"Connection" help:"How long to try, and to wait for the outcome."`

	Call       callVerb       `cmd:"" help:"Call a hook and print its result."`
	Send       sendVerb       `cmd:"" help:"Send to a hook, one way, and print the accepted sequence."`
	Resume     resumeVerb     `cmd:"" help:"Resume the run that waits for a token, and print where it took the call."`
	Start      startVerb      `cmd:"" help:"Start a workflow run."`
	Get        getVerb        `cmd:"" help:"Print the last committed state, without waking the object."`
	Describe   describeVerb   `cmd:"" help:"Show what an object is doing, or the hooks of a type."`
	At         atVerb         `cmd:"" help:"Print the state as it was after a log sequence."`
	Events     eventsVerb     `cmd:"" help:"Print the event log."`
	Tail       tailVerb       `cmd:"" help:"Print an output stream."`
	Ls         lsVerb         `cmd:"" help:"List runs."`
	Cancel     cancelVerb     `cmd:"" help:"Ask a run to end; its code cleans up."`
	Terminate  terminateVerb  `cmd:"" help:"End a run at once, without asking its code."`
	Pause      pauseVerb      `cmd:"" help:"Stop a run or object for a time."`
	Unpause    unpauseVerb    `cmd:"" help:"Let a paused run or object go on."`
	Wake       wakeVerb       `cmd:"" help:"Load a run and have it go on now."`
	Purge      purgeVerb      `cmd:"" help:"Remove an ended run or an object, and everything that is kept of it."`
	Nodes      nodesVerb      `cmd:"" help:"List nodes."`
	Partitions partitionsVerb `cmd:"" help:"List partitions and who owns them."`
	Drain      drainVerb      `cmd:"" help:"Move everything away from a node."`
	Dead       deadVerb       `cmd:"" help:"List, show, retry or drop dead letters."`
	Bench      benchVerb      `cmd:"" help:"Measure calls under closed-loop load."`
}

// helpFlag prints the help and ends the parsing with errHelp.
type helpFlag bool

// IgnoreDefault tells kong that the flag needs no value.
func (helpFlag) IgnoreDefault() {}

// BeforeReset runs when the flag is given, before anything is validated.
func (helpFlag) BeforeReset(ctx *kong.Context) error {
	if err := ctx.PrintUsage(false); err != nil {
		return err
	}
	return errHelp
}

// environment resolves flags from env, as the nats command names them.
func environment(env []string) kong.Resolver {
	names := map[string]string{
		"nats": "NATS_URL", "context": "NATS_CONTEXT", "creds": "NATS_CREDS", "nkey": "NATS_NKEY", "user": "NATS_USER",
		"password": "NATS_PASSWORD", "token": "NATS_TOKEN", "tls-ca": "NATS_CA", "tls-cert": "NATS_CERT", "tls-key": "NATS_KEY",
		"prefix": "PERDURE_PREFIX",
	}
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		if v := lookup(env, names[flag.Name]); v != "" {
			return v, nil
		}
		return nil, nil //nolint:nilnil // kong's word for "not known here"
	})
}

// negatives rewrites negative numbers, which look like flags: the value of --from is joined to it, and a payload is put
// behind "--".
func negatives(args []string) []string {
	for i, a := range args {
		if a == "--" {
			return args
		}
		number := len(a) > 1 && a[0] == '-' && a[1] >= '0' && a[1] <= '9'
		switch {
		case !number || i == 0:
		case args[i-1] == "--from":
			return slices.Concat(args[:i-1], []string{"--from=" + a}, negatives(args[i+1:]))
		case !strings.HasPrefix(args[i-1], "-"):
			return slices.Concat(args[:i], args[i+1:], []string{"--", a})
		}
	}
	return args
}

// lookup returns the value of a variable; the last one counts.
func lookup(env []string, name string) (value string) {
	for _, e := range env {
		if k, v, _ := strings.Cut(e, "="); k == name && name != "" {
			value = v
		}
	}
	return value
}

// timeout is a time to wait, more than none; the zero value is one that was not given.
type timeout time.Duration

// UnmarshalText implements encoding.TextUnmarshaler, by which kong reads the flag.
func (t *timeout) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err != nil || d <= 0 {
		return fmt.Errorf("want a time such as 5s or 300ms, more than 0, not %q", text)
	}
	*t = timeout(d)
	return nil
}

// object is an argument TYPE/KEY.
type object struct{ actor.Address }

// UnmarshalText implements encoding.TextUnmarshaler, by which kong reads the argument.
func (o *object) UnmarshalText(text []byte) (err error) {
	o.Address, err = actor.ParseAddress(string(text))
	return err
}

// payload is an argument JSON|-. It goes to the object as it is: its type's schema says what is right. White space from
// stdin is nothing, which is null.
type payload string

func (p payload) read(stdin io.Reader) ([]byte, error) {
	if p != "-" {
		return []byte(p), nil
	}
	b, err := io.ReadAll(stdin)
	if err != nil {
		return nil, fmt.Errorf("read payload from stdin: %w", err)
	}
	if len(bytes.TrimSpace(b)) == 0 { // echo '' | client …
		return nil, nil
	}
	return b, nil
}
