package pando_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/identity"
)

// The environment that makes the test binary a peer in a process of its own.
const (
	peerRole   = "PANDO_TEST_PEER"   // "dial", or "listen" on the socket that it inherits
	peerTarget = "PANDO_TEST_TARGET" // agent id to dial
	peerURL    = "PANDO_TEST_URL"    // URL to dial
)

// peerMain is such a peer: it says "ready" and works until it is killed.
func peerMain() {
	if err := servePeer(); err != nil {
		fmt.Println("failed:", err)
	}
}

func servePeer() error {
	creds, err := pando.CredentialsFromEnv("")
	if err != nil {
		return err
	}
	a, err := pando.New(creds, pando.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return err
	}
	a.Handle("never", func(ctx context.Context, _ *pando.Message) (any, error) { <-ctx.Done(); return nil, ctx.Err() })
	ended := make(chan error, 1)
	go func() { ended <- a.Run(context.Background()) }()
	if os.Getenv(peerRole) == "listen" {
		ln, err := net.FileListener(os.NewFile(3, "listener"))
		if err != nil {
			return err
		}
		go func() { ended <- http.Serve(ln, a) }()
		<-a.Ready()
		fmt.Println("ready")
		return <-ended
	}
	ch, err := a.Open(context.Background(), os.Getenv(peerTarget), os.Getenv(peerURL))
	if err != nil {
		return err
	}
	fmt.Println("ready", ch.ID())
	for { // busy, so that it is killed in the middle of something
		if _, err := ch.Request(context.Background(), "count", numbered{1}); err != nil {
			return err
		}
	}
}

// spawn starts a peer process and waits until it is ready; kill sends SIGKILL
// and waits for its end.
func spawn(t *testing.T, creds identity.Credentials, socket *os.File, env ...string) (said string, kill func()) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	key, err := creds.Key.PrivatePEM()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(),
		identity.EnvRegistryURL+"="+creds.RegistryURL, identity.EnvAgentID+"="+creds.AgentID,
		identity.EnvAgentSecret+"="+creds.AgentSecret, identity.EnvPrivateKey+"="+key,
		identity.EnvCAFile+"="+creds.CAFile)
	cmd.Env = append(cmd.Env, env...)
	if socket != nil {
		cmd.ExtraFiles = []*os.File{socket}
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	kill = func() {
		if !killed {
			killed = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(kill)
	said, err = bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(said, "ready") {
		t.Fatalf("peer process: %q, %v", said, err)
	}
	return strings.TrimSpace(strings.TrimPrefix(said, "ready")), kill
}

func TestKilledPeerIsMissedOnItsChannelOnly(t *testing.T) {
	t.Parallel()
	const wait = 300 * time.Millisecond
	s := onStage(t, nil, pando.WithTimeouts(pando.Timeouts{Wait: wait}))
	creds := s.stranger(s.agent)
	id, kill := spawn(t, creds, nil, peerRole+"=dial", peerTarget+"="+s.agent.ID(), peerURL+"="+s.agent.url)
	there := s.agent.lookup(t, id)
	asked := make(chan error, 1)
	go func() {
		_, err := there.Request(within(t, patience), "never", nil)
		asked <- err
	}()
	eventually(t, "the request is under way", func() bool { return there.Info().Pending == 1 })
	kill()
	if err := <-asked; !errors.Is(err, pando.ErrOutcomeUnknown) && !errors.Is(err, pando.ErrLost) {
		t.Errorf("error = %v", err)
	}
	<-there.Done()
	if err := there.Err(); !errors.Is(err, pando.ErrLost) || !strings.Contains(err.Error(), "did not come back") {
		t.Errorf("error = %v", err)
	}
	s.agent.log.wait(t, "channel lost its connection", "channel", id, "peer", creds.AgentID)
	s.agent.log.wait(t, "channel closed", "channel", id, "peer", creds.AgentID)
}

func TestKilledPeerThatIsStartedAgainIsFound(t *testing.T) {
	t.Parallel()
	s := onStage(t, nil, pando.WithBackoff(pando.Backoff{Initial: 10 * time.Millisecond, Max: 50 * time.Millisecond}))
	creds := s.stranger(s.agent)
	ln := s.listen("").(*net.TCPListener)
	addr := ln.Addr().String()
	socket, err := ln.File()
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close() // only the peer accepts on it
	t.Cleanup(func() { _ = socket.Close() })
	_, kill := spawn(t, creds, socket, peerRole+"=listen")
	ch, err := s.agent.Open(within(t, patience), creds.AgentID, "ws://"+addr+"/")
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan error, 1)
	go func() {
		_, err := ch.Request(within(t, patience), "never", nil)
		asked <- err
	}()
	eventually(t, "the request is under way", func() bool { return ch.Info().Pending == 1 })
	kill()
	if err := <-asked; !errors.Is(err, pando.ErrOutcomeUnknown) {
		t.Errorf("error = %v", err)
	}
	waiting := make(chan error, 1)
	go func() {
		_, err := ch.Request(within(t, 2*patience), pando.Request, map[string]string{"text": "are you back?"})
		waiting <- err
	}()
	spawn(t, creds, socket, peerRole+"=listen")
	if err := <-waiting; err != nil {
		t.Errorf("the request that waited for the peer: %v", err)
	}
	if i := ch.Info(); i.Reopened == 0 || i.Restarts != 0 {
		t.Errorf("%+v", i)
	}
	s.agent.log.wait(t, "channel lost its connection", "channel", ch.ID(), "peer", creds.AgentID)
	if err := ch.Close(within(t, patience), "done"); err != nil {
		t.Error(err)
	}
}
