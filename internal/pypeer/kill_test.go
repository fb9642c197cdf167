package pypeer_test

import (
	"errors"
	"testing"

	"github.com/pando-agents/pando/internal/pypeer"
)

func TestKilledServerComesBackOnItsPort(t *testing.T) {
	t.Parallel()
	_, listening := newAgents(t)
	server := pypeer.NewServer(t, listening, 0)
	server.Kill()
	server.Restart(t)
	if n := openChannels(t, server); n != 0 {
		t.Errorf("the new process counts %d channels, want 0", n)
	}
}

func TestKilledClientAnswersNobody(t *testing.T) {
	t.Parallel()
	dialling, _ := newAgents(t)
	client := pypeer.NewClient(t, dialling)
	client.Kill()
	if _, err := client.Token(t.Context(), listener); !errors.Is(err, &pypeer.Error{Code: pypeer.CodeGone}) {
		t.Errorf("token from a killed process: %v", err)
	}
}
