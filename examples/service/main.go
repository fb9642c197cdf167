// Command service is a normal Go service that counts words: an HTTP server, a
// pool of workers, an actor and a ticker in one supervision tree. Each of them
// can be broken on purpose. See README.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/supervisor"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "listen `address`")
	every := flag.Duration("every", 10*time.Second, "time between two reports")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *addr, *every, os.Stdout)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx is done, and prints what happens in the tree.
func run(ctx context.Context, addr string, every time.Duration, out io.Writer) error {
	// What a supervisor gives up on is logged, with its stack. What heals is
	// below this level: it is among the events.
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	system := actors.NewSystem(actors.SystemOptions{Logger: logger})
	defer system.Close()
	s := &service{
		addr: addr, every: every, logger: logger, print: log.New(out, "", 0),
		jobs: make(chan job), breakTicker: make(chan struct{}), breakWeb: make(chan struct{}),
	}
	s.total = actors.New(system, actors.Spec[tally]{Name: "total", New: func() actors.Actor[tally] { return &total{} }})
	s.root = s.tree()

	events, unsubscribe := s.root.Subscribe(256)
	printed := make(chan struct{})
	go func() {
		defer close(printed)
		for e := range events {
			s.print.Print(e)
		}
	}()
	err := s.root.Serve(ctx)
	unsubscribe()
	<-printed
	return err
}

// service is what the parts share: what has to outlive each of them.
type service struct {
	root   *supervisor.Supervisor
	logger *slog.Logger
	print  *log.Logger
	every  time.Duration
	// addr is where to listen; it is the server's that runs.
	addr  string
	jobs  chan job
	total *actors.Process[tally]

	breakTicker, breakWeb chan struct{}
}

// tree starts from top to bottom and stops from bottom to top: the server is
// the last to start and the first to stop, so that each request finds what it
// needs.
//
//	service        one_for_one
//	├ work         rest_for_one: what comes later depends on what comes before
//	│ ├ total      the actor that has the total
//	│ ├ pool       one_for_one
//	│ │ ├ worker-1
//	│ │ └ …
//	│ └ ticker
//	└ web
func (s *service) tree() *supervisor.Supervisor {
	return supervisor.New(supervisor.Options{
		Name: "service", Logger: s.logger,
		Children: []supervisor.Spec{
			{ID: "work", Service: supervisor.New(supervisor.Options{
				Strategy: supervisor.RestForOne, Logger: s.logger,
				Children: []supervisor.Spec{
					{ID: "total", Process: s.total},
					{ID: "pool", New: s.pool},
					{ID: "ticker", Service: supervisor.ServiceFunc(s.tick)},
				},
			})},
			{ID: "web", New: func() supervisor.Service { return &web{service: s, ready: make(chan struct{})} }},
		},
	})
}

const workers = 3

// pool makes a supervisor of workers that know nothing of each other.
func (s *service) pool() supervisor.Service {
	o := supervisor.Options{Logger: s.logger}
	for i := range workers {
		o.Children = append(o.Children, supervisor.Spec{
			ID: "worker-" + strconv.Itoa(i+1), Service: supervisor.ServiceFunc(s.work),
		})
	}
	return supervisor.New(o)
}

// tick reports the total now and then.
func (s *service) tick(ctx context.Context) error {
	ticker := time.NewTicker(s.every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if words, err := s.add(ctx, 0); err == nil {
				s.print.Printf("%d words so far", words)
			}
		case <-s.breakTicker:
			panic(errBroken)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// breakPart breaks one part. It waits only until the part is free to notice.
func (s *service) breakPart(ctx context.Context, part string) error {
	switch part {
	case "total":
		return s.total.Ref().Tell(ctx, tally{poison: true})
	case "worker":
		return s.enqueue(ctx, job{poison: true})
	case "pool": // one failure more than it bears
		for range 4 {
			if err := s.enqueue(ctx, job{poison: true}); err != nil {
				return err
			}
		}
		return nil
	case "ticker":
		return signalTo(ctx, s.breakTicker)
	case "web":
		return signalTo(ctx, s.breakWeb)
	default:
		return fmt.Errorf("no part %q: total, worker, pool, ticker, web", part)
	}
}

func signalTo(ctx context.Context, c chan<- struct{}) error {
	select {
	case c <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
