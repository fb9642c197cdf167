// Command twoagents is an agent in a web service: POST /ask sends a text to
// another agent and answers with what that said, and /ws is where other agents
// reach this one. Run it twice, and the two can ask each other.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/pando-agents/pando"
)

func main() {
	env := flag.String("env", ".env", "file with the agent's credentials")
	addr := flag.String("addr", "127.0.0.1:9001", "address to listen on")
	peer := flag.String("peer", "", "id of the other agent")
	peerURL := flag.String("peer-url", "", "WebSocket URL of the other agent")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *env, *addr, service{peer: *peer, url: *peerURL}); err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx ends, then finishes what has begun.
func run(ctx context.Context, env, addr string, s service) error {
	credentials, err := pando.CredentialsFromEnv(env)
	if err != nil {
		return err
	}
	if s.agent, err = pando.New(credentials); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: s.routes(), ReadHeaderTimeout: 5 * time.Second}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	go func() {
		defer cancel() // without the server the agent cannot be reached
		served <- srv.Serve(ln)
	}()
	log.Printf("agent %s at ws://%s/ws", s.agent.ID(), ln.Addr())
	err = s.agent.Run(ctx) // drains when ctx ends
	cancel()
	grace, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer done()
	err = errors.Join(err, srv.Shutdown(grace))
	if e := <-served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// service is an agent, and the one that it asks.
type service struct {
	agent     *pando.Agent
	peer, url string
}

// text is what goes over HTTP and over the channel.
type text struct {
	Text string `json:"text"`
}

// routes mounts the API and the agent side by side, and gives the agent its handler.
func (s *service) routes() http.Handler {
	s.agent.Handle(pando.Request, answer)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /ask", s.ask)
	mux.HandleFunc("GET /healthz", s.agent.Healthz)
	mux.Handle("/ws", s.agent)
	return mux
}

// answer is what this agent is good at.
func answer(_ context.Context, m *pando.Message) (any, error) {
	var in text
	if err := m.Decode(&in); err != nil {
		return nil, &pando.RemoteError{Code: "bad_request", Message: "data must be an object with a text"}
	}
	return text{strings.ToUpper(in.Text)}, nil
}

// ask sends the text to the other agent. Open is cheap: it returns the channel
// that is there, and one that broke comes back by itself.
func (s *service) ask(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
	defer cancel()
	var q text
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&q); err != nil {
		http.Error(w, `the body must be {"text": ...}`, http.StatusBadRequest)
		return
	}
	got, err := s.request(ctx, q)
	if err != nil {
		log.Printf("ask %s: %v", s.peer, err)
		http.Error(w, describe(err), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(got) // a client that has gone needs no answer
}

func (s *service) request(ctx context.Context, q text) (got text, err error) {
	ch, err := s.agent.Open(ctx, s.peer, s.url)
	if err != nil {
		return got, err
	}
	reply, err := ch.Request(ctx, pando.Request, q)
	if err != nil {
		return got, err
	}
	return got, reply.Decode(&got)
}

// describe tells the client what kind of failure it was, and no more.
func describe(err error) string {
	switch {
	case errors.Is(err, pando.ErrRefused):
		return "the other agent may not be asked"
	case errors.Is(err, pando.ErrUnreachable):
		return "the other agent cannot be reached"
	case errors.Is(err, pando.ErrTimeout):
		return "the other agent took too long"
	}
	return "the other agent failed"
}
