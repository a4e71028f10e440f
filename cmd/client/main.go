// Command client calls durable objects from the command line and shows what they are doing.
//
// # Model
//
// One verb a file. run parses the command line, connects, and gives the verb a session; main adds the process
// around it. Results go to stdout, everything else to stderr.
//
// # Failure
//
// The exit code is 0 when it is done, 1 when the call failed, 2 for wrong usage, 3 when nobody could be reached
// or the time was up.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
