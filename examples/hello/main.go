// Command hello is the smallest agent: FILE ADDRESS [PEER URL] says who it is, where it listens and whom it asks.
package main

import (
	"context"
	"log"
	"net/http"
	"os"

	"github.com/pando-agents/pando"
)

func main() {
	credentials, err := pando.CredentialsFromEnv(os.Args[1]) // a file that `pando init setup` has written
	must(err)
	agent, err := pando.New(credentials)
	must(err)
	agent.Handle(pando.Request, func(_ context.Context, m *pando.Message) (any, error) {
		return map[string]string{"text": "hello " + m.Peer}, nil
	})
	go func() { must(http.ListenAndServe(os.Args[2], agent)) }()
	if len(os.Args) == 5 {
		go ask(context.Background(), agent, os.Args[3], os.Args[4])
	}
	must(agent.Run(context.Background()))
}

func ask(ctx context.Context, agent *pando.Agent, peer, url string) {
	channel, err := agent.Open(ctx, peer, url)
	must(err)
	reply, err := channel.Request(ctx, pando.Request, map[string]string{"text": "who am I?"})
	must(err)
	log.Printf("%s", reply.Data)
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
