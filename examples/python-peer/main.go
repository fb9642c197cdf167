// Command python-peer is a Pando agent that talks to the Python agent in agent.py,
// in both directions. README.md says how to run the two.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/pando-agents/pando"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "python-peer:", err)
		os.Exit(1)
	}
}

// run is the whole program: it listens, or asks a peer one question.
func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("python-peer", flag.ContinueOnError)
	envFile := flags.String("env-file", "go.env", "file with the credentials of the agent")
	listen := flags.String("listen", "127.0.0.1:9001", "address to listen on")
	peerID := flags.String("peer-id", "", "agent to ask instead of listening")
	peerURL := flags.String("peer-url", "", "ws or wss URL of that agent")
	text := flags.String("text", "hello from Go", "what to ask")
	if err := flags.Parse(args); err != nil {
		return err
	}
	credentials, err := pando.CredentialsFromEnv(*envFile)
	if err != nil {
		return err
	}
	agent, err := pando.New(credentials)
	if err != nil {
		return err
	}
	agent.Handle(pando.Request, answer)

	// The agent outlives the work, so that it can close its channels.
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	ran := make(chan error, 1)
	go func() { ran <- agent.Run(running) }()
	if *peerURL != "" {
		err = ask(ctx, agent, *peerID, *peerURL, *text, out)
	} else {
		err = serve(ctx, agent, *listen, out)
	}
	stop()
	return errors.Join(err, <-ran)
}

// question and reply are what the two agents have agreed on.
type question struct {
	Text string `json:"text"`
}

type reply struct {
	Text string `json:"text"`
	From string `json:"from"`
}

// answer handles a request. m.Peer is who really asks: the token says so.
func answer(_ context.Context, m *pando.Message) (any, error) {
	var q question
	if err := m.Decode(&q); err != nil {
		return nil, &pando.RemoteError{Code: "bad_question", Message: "text must be a string"}
	}
	return reply{Text: "Go has read: " + q.Text, From: "Go"}, nil
}

// serve takes channels until ctx ends.
func serve(ctx context.Context, agent *pando.Agent, address string, out io.Writer) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/ws", agent)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	fmt.Fprintf(out, "agent %s listens on ws://%s/ws\n", agent.ID(), listener.Addr())
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	err = server.Close()
	<-served
	return err
}

// ask opens a channel, asks and prints the answer.
func ask(ctx context.Context, agent *pando.Agent, peerID, peerURL, text string, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	channel, err := agent.Open(ctx, peerID, peerURL)
	if err != nil {
		return err
	}
	m, err := channel.Request(ctx, pando.Request, question{Text: text})
	if err != nil {
		return err
	}
	var r reply
	if err := m.Decode(&r); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s answers: %s\n", r.From, r.Text)
	return channel.Close(ctx, "asked and answered")
}
