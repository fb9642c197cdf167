// Command market is a market in which agents negotiate about prices: sellers and
// buyers, and a bank that exchanges goods for money. They are in one process, or
// each in its own, one of them in Python if wanted, and can be killed in the
// middle of a negotiation. README.md says what there is to see.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := market(ctx, os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "market:", err)
		os.Exit(1)
	}
}

// settings are the command line.
type settings struct {
	seed      uint64
	processes bool
	python    string
	kill      string

	child // what one of the processes is told
}

func market(ctx context.Context, args []string, in io.Reader, w io.Writer) error {
	var o settings
	flags := flag.NewFlagSet("market", flag.ContinueOnError)
	flags.Uint64Var(&o.seed, "seed", 1, "what prices and wishes follow from")
	flags.BoolVar(&o.processes, "processes", false, "give each agent a process of its own")
	flags.StringVar(&o.python, "python", "", "with -processes: the interpreter that runs pia, with the Authed SDK")
	flags.StringVar(&o.kill, "kill", "", "with -processes: kill these agents on the way, as in anna,zoe, or all")
	flags.StringVar(&o.name, "agent", "", "be one agent (what -processes starts)")
	flags.StringVar(&o.dir, "dir", "", "with -agent: where its files are")
	flags.StringVar(&o.listen, "listen", "127.0.0.1:0", "with -agent: its address")
	flags.StringVar(&o.halt, "halt", "", "with -agent: where to stop for ever")
	flags.StringVar(&o.pythonName, "python-agent", "", "with -agent: who is a Python agent")
	if err := flags.Parse(args); err != nil {
		return err
	}
	s := newScenario(o.seed)
	if o.name != "" {
		return o.child.run(ctx, s, in, w)
	}
	return hold(ctx, s, &o, w)
}

// openHours bounds the whole market.
const openHours = 2 * time.Minute

// hold holds the market and shows what came of it.
func hold(ctx context.Context, s *scenario, o *settings, w io.Writer) (err error) {
	ctx, cancel := context.WithTimeout(ctx, openHours)
	defer cancel()
	dir, err := os.MkdirTemp("", "market")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	pythonName := ""
	if o.python != "" {
		pythonName = pythonSeller
	}
	t, err := found(ctx, dir, s, pythonName)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.stop()) }()
	out := &screen{w: w}
	var books report
	switch {
	case o.processes:
		books, err = apart(ctx, t, s, out, o.python, victims(s, o.kill))
	case o.kill != "" || o.python != "":
		return errors.New("-kill and -python need -processes")
	default:
		books, err = together(ctx, t, s, out)
	}
	if err != nil {
		return err
	}
	out.show("\n%s", s.table(books))
	if err := s.audit(books); err != nil {
		return err
	}
	out.show("\n%d things have changed hands, none of them twice. %s is in the purses, as before.\n",
		len(books.Sales), euros(purse*len(s.buyers)))
	return nil
}

// victims are those who are to be killed.
func victims(s *scenario, names string) []string {
	switch names {
	case "":
		return nil
	case "all":
		return s.everybody()
	}
	return strings.Split(names, ",")
}
