package identity_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/pando-agents/pando/identity"
)

// An agent takes its credentials from the environment, or from .env, and makes
// the headers of a handshake with another agent.
func ExampleClient_DialHeader() {
	creds, err := identity.Load(".env", os.LookupEnv)
	if err != nil {
		log.Fatal(err)
	}
	client, err := identity.NewClient(identity.ClientOptions{Credentials: creds})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	header, token, err := client.DialHeader(context.Background(), "22222222-2222-4222-8222-222222222222", "wss://agent.example/ws")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(header), token.Expires)
}

// An acceptor finds out who dials before it upgrades the connection.
func ExampleVerifier_Verify() {
	creds, err := identity.FromFile(".env")
	if err != nil {
		log.Fatal(err)
	}
	client, err := identity.NewClient(identity.ClientOptions{Credentials: creds})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	verifier, err := identity.NewVerifier(identity.VerifierOptions{Client: client, PublicURLs: []string{"wss://agent.example/ws"}})
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("GET /ws", func(w http.ResponseWriter, r *http.Request) {
		peer, refusal := verifier.Verify(r)
		if refusal != nil {
			refusal.WriteTo(w)
			return
		}
		fmt.Println("upgrade the connection of", peer.AgentID)
	})
}

// A directory knows where agents are. What strangers have announced is dialled
// under its policy, what the operator has written down is not held to it.
func ExampleDirectory_Resolve() {
	directory, err := identity.NewDirectory(identity.DirectoryOptions{
		Static: []identity.Record{{AgentID: "22222222-2222-4222-8222-222222222222", Endpoint: "ws://10.0.0.7:9000/ws"}},
		// Client asks the identity registry about all others.
	})
	if err != nil {
		log.Fatal(err)
	}
	record, err := directory.Resolve(context.Background(), "22222222-2222-4222-8222-222222222222")
	if err != nil {
		log.Fatal(err)
	}
	dialer := &net.Dialer{}
	if !record.Static {
		dialer.Control = directory.Policy().Control
	}
	fmt.Println(record.Endpoint, dialer.Control == nil)
	// Output: ws://10.0.0.7:9000/ws true
}

// A key that is written down is Ed25519, unless the Python SDK is to use it too.
func ExampleGenerateKey() {
	key, err := identity.GenerateKey(identity.KeyEd25519, nil)
	if err != nil {
		log.Fatal(err)
	}
	again, err := identity.ParsePublicKey(key.Public().HeaderValue())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(key.Alg(), again.Equal(key.Public()))
	// Output: EdDSA true
}
