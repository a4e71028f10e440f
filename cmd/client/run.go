package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/alecthomas/kong"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/jetstream"
)

// Exit codes.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitUnreachable = 3
)

const description = "Calls durable objects and shows what they are doing.\n\nTYPE/KEY is an object, as in counter/alice. JSON is a payload; - reads it from stdin."

// session is what a verb works with.
type session struct {
	client  *jetstream.Client
	conn    *connection
	json    bool
	timeout time.Duration
	timed   bool // the user gave the timeout
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer
}

var (
	errHelp = errors.New("help")
	// errUsage marks what the user should write otherwise.
	errUsage = errors.New("usage")
)

// run is the program: it returns the exit code.
func run(ctx context.Context, args, env []string, stdin io.Reader, stdout, stderr io.Writer) int {
	err := execute(ctx, args, env, stdin, stdout, stderr)
	if err == nil || errors.Is(err, errHelp) {
		return exitDone
	}
	if interrupted(ctx) && exitCode(err) == exitUnreachable && !errors.Is(err, errInterrupted) {
		err = errInterrupted // of a read: nothing is in doubt
	}
	fmt.Fprintf(stderr, "client: %s\n", errorText(err))
	code := exitCode(err)
	if code == exitUsage {
		fmt.Fprintln(stderr, "client: --help shows how")
	}
	return code
}

func execute(ctx context.Context, args, env []string, stdin io.Reader, stdout, stderr io.Writer) error {
	cli := commandLine{}
	parser, err := kong.New(&cli,
		kong.Name("client"), kong.Description(description), kong.Writers(stdout, stderr), kong.NoDefaultHelp(),
		kong.Resolvers(environment(env)), kong.BindTo(ctx, (*context.Context)(nil)),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
	)
	if err != nil {
		return fmt.Errorf("read command line: %w", err)
	}
	command, err := parser.Parse(negatives(args))
	if err != nil {
		return err
	}
	conn, err := connect(ctx, &cli, env, stderr)
	if err != nil {
		return err
	}
	defer conn.Close()
	s := &session{
		client: conn.client(), conn: conn, json: cli.JSON, timeout: time.Duration(cli.Timeout), timed: cli.Timeout > 0,
		stdin: stdin, stdout: stdout, stderr: stderr,
	}
	if !s.timed {
		s.timeout = defaultTimeout
	}
	return command.Run(s)
}

func exitCode(err error) int {
	var parse *kong.ParseError
	switch {
	case errors.As(err, &parse), errors.Is(err, errUsage):
		return exitUsage
	case errors.Is(err, actor.ErrUnavailable), errors.Is(err, actor.ErrTimeout), errors.Is(err, errConnect),
		errors.Is(err, errInterrupted), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return exitUnreachable
	default:
		return exitFailed
	}
}

// errorText is the error with the details of a failed call, on one line: keys and reasons in it are other people's.
func errorText(err error) string {
	text := err.Error()
	var e *actor.Error
	if errors.As(err, &e) && len(e.Details) > 0 && string(e.Details) != "null" {
		text += ": " + string(e.Details)
	}
	return escaped(text)
}

// header is the call header of a verb: all of them have the session's timeout.
func (s *session) header(id string) actor.CallHeader {
	return actor.CallHeader{CallID: id, Timeout: s.timeout}
}

// limit bounds what a verb does by the session's timeout.
func (s *session) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.timeout)
}

// printJSON writes v as one line.
func (s *session) printJSON(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode output: %w", err)
	}
	return s.printf("%s\n", b)
}

func (s *session) printf(format string, args ...any) error {
	if _, err := fmt.Fprintf(s.stdout, format, args...); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}
