// Package pypeer runs unmodified Python Authed SDK agents as peers in tests: one
// that dials, one that listens, and what has to stand around them so that the
// SDK finds a registry at https://localhost without a port (an authority for the
// certificate and a CONNECT proxy). It also records what two peers say to each
// other. Nothing here needs root or a fixed port.
//
// Everything started belongs to the test that started it and is gone when that
// test ends. The virtual environment is made beforehand by internal/pypeer/venv.sh.
package pypeer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Agent is what a Python agent is told about itself and its surroundings.
type Agent struct {
	// RegistryURL is where the SDK looks for the identity registry. The SDK
	// doubles ports, so it has to be https://localhost, with Proxy set.
	RegistryURL string
	// AgentID and AgentSecret are the agent's registration. The listening side
	// of the SDK insists on them too.
	AgentID, AgentSecret string
	// PrivateKey and PublicKey are the agent's RSA keys as PEM text (PKCS#8 and
	// SubjectPublicKeyInfo).
	PrivateKey, PublicKey string
	// Proxy is the URL of the CONNECT proxy for all HTTPS; see [NewProxy].
	Proxy string
	// CAFile names the PEM file of the only authority to trust; see
	// [NewAuthority].
	CAFile string
}

// environment is everything the child gets: nothing is inherited, so that no
// credential or proxy of the developer's shell changes a test.
func (a Agent) environment(home string) []string {
	return []string{
		"AUTHED_REGISTRY_URL=" + a.RegistryURL,
		"AUTHED_AGENT_ID=" + a.AgentID,
		"AUTHED_AGENT_SECRET=" + a.AgentSecret,
		"AUTHED_PRIVATE_KEY=" + a.PrivateKey,
		"AUTHED_PUBLIC_KEY=" + a.PublicKey,
		"HTTPS_PROXY=" + a.Proxy,
		"NO_PROXY=127.0.0.1",
		"SSL_CERT_FILE=" + a.CAFile,
		"REQUESTS_CA_BUNDLE=" + a.CAFile,
		"HOME=" + home,
		"PYTHONUTF8=1",
		"PYTHONDONTWRITEBYTECODE=1",
	}
}

// Python returns the interpreter of the virtual environment, for tests that run
// scripts of their own. It fails the test when there is none.
func Python(t testing.TB) string {
	t.Helper()
	return find(t).python
}

// installation is where the scripts and the interpreter are.
type installation struct {
	python, scripts string
}

// find looks for the virtual environment and fails the test, naming the command
// to run, when it is missing or was made from another lock file.
func find(t testing.TB) installation {
	t.Helper()
	root, err := repository()
	if err != nil {
		t.Fatalf("pypeer: %v", err)
	}
	home := filepath.Join(root, "internal", "pypeer")
	venv := os.Getenv("PANDO_VENV")
	if venv == "" {
		venv = filepath.Join(root, ".venv")
	}
	if err := current(venv, filepath.Join(home, "requirements.lock")); err != nil {
		t.Fatalf("pypeer: %v\nrun: %s", err, filepath.Join(home, "venv.sh"))
	}
	return installation{
		python:  filepath.Join(venv, "bin", "python"),
		scripts: filepath.Join(home, "py"),
	}
}

// repository returns the folder of this module's go.mod, upwards from the
// working directory, which in a test is the folder of its package.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("looking for the repository: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "internal", "pypeer", "requirements.lock")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("no repository above the working directory")
		}
		dir = parent
	}
}

// current reports why the virtual environment does not hold what lock names.
func current(venv, lock string) error {
	stamp, err := os.ReadFile(filepath.Join(venv, "pando-lock.sha256"))
	if err != nil {
		return fmt.Errorf("no Python peer is installed: %w", err)
	}
	pinned, err := os.ReadFile(lock)
	if err != nil {
		return fmt.Errorf("reading the lock file of the Python peer: %w", err)
	}
	sum := sha256.Sum256(pinned)
	if string(bytes.TrimSpace(stamp)) != hex.EncodeToString(sum[:]) {
		return fmt.Errorf("the Python peer in %s was installed from another lock file", venv)
	}
	return nil
}
