// Command patterns shows package actors/patterns at work between agents: each
// name on the command line is a small program in a file of that name. README.md
// says what there is to see.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// shows are the programs, and the agents that each has.
var shows = []struct {
	name   string
	agents []string
	run    func(ctx context.Context, g *grove, w io.Writer) error
}{
	{"gather", []string{"boss", "ann", "bob", "cat"}, showGather},
	{"pipeline", []string{"boss", "ann", "bob"}, showPipeline},
	{"pool", []string{"boss", "ann", "bob"}, showPool},
	{"topic", []string{"paper", "ann", "bob"}, showTopic},
	{"conversation", []string{"ann", "bob"}, showConversation},
	{"task", []string{"ann", "bob"}, showTask},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	names := os.Args[1:]
	if len(names) == 0 {
		for _, s := range shows {
			names = append(names, s.name)
		}
	}
	for _, name := range names {
		fmt.Printf("%s:\n", name)
		if err := show(ctx, name, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "patterns:", err)
			os.Exit(1)
		}
	}
}

// longest is how long one of them may take.
const longest = time.Minute

// show runs one of them.
func show(ctx context.Context, name string, w io.Writer) (err error) {
	for _, s := range shows {
		if s.name != name {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, longest)
		defer cancel()
		g, err := grow(ctx, s.agents...)
		if err != nil {
			return err
		}
		return errors.Join(s.run(ctx, g, w), g.close())
	}
	return fmt.Errorf("no %q: gather, pipeline, pool, topic, conversation and task there are", name)
}
