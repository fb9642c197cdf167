// Command pando runs the parts of Pando from a shell: the identity registry, an
// agent, the setting up of credentials and permissions, single messages, and a
// demonstration of what a channel survives.
//
// It exits 0 when what was asked for was done, 1 when it was not, with the
// reason in one line on stderr, and 2 when it was not asked for correctly.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// The exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// run carries out one command line and returns its exit code. It returns soon
// after ctx has ended.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	a := &app{out: stdout, err: stderr}
	root := a.root()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	command, err := root.ExecuteContextC(ctx)
	var usage *usageError
	switch {
	case err == nil:
		return exitDone
	case !a.started || errors.As(err, &usage):
		_, _ = fmt.Fprintf(stderr, "pando: %s (see '%s --help')\n", oneLine(err), command.CommandPath())
		return exitUsage
	case ctx.Err() != nil:
		err = errors.New("interrupted")
	}
	_, _ = fmt.Fprintf(stderr, "pando: %s\n", oneLine(err))
	return exitFailed
}

// oneLine keeps an error readable in a terminal and in a log.
func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}
