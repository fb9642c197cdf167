package pypeer

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEnvironmentOfAnotherLockFileIsNotUsed(t *testing.T) {
	t.Parallel()
	venv := t.TempDir()
	lock := filepath.Join(t.TempDir(), "requirements.lock")
	write(t, lock, "pinned==1")
	if err := current(venv, lock); err == nil || !strings.Contains(err.Error(), "no Python peer") {
		t.Errorf("without a stamp: %v", err)
	}
	sum := sha256.Sum256([]byte("pinned==1"))
	write(t, filepath.Join(venv, "pando-lock.sha256"), hex.EncodeToString(sum[:])+"\n")
	if err := current(venv, lock); err != nil {
		t.Errorf("with its stamp: %v", err)
	}
	write(t, lock, "pinned==2")
	if err := current(venv, lock); err == nil || !strings.Contains(err.Error(), "another lock file") {
		t.Errorf("after a change: %v", err)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
