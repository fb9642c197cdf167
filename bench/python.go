package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/pando-agents/pando/bench/floor"
)

// pythonServer is the unmodified Python SDK under FastAPI and uvicorn, in the
// virtual environment that the interoperability tests use. It takes any token
// and never asks its registry.
func pythonServer() (*exec.Cmd, error) {
	python, err := pythonInterpreter()
	if err != nil {
		return nil, err
	}
	script, err := filepath.Abs("../internal/pypeer/py/server.py")
	if err != nil {
		return nil, err
	}
	private, public, err := keyPair()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(python, script, "--port", "0")
	// It logs an error for each channel that ends, the orderly ones included.
	cmd.Stderr = io.Discard
	cmd.Env = append(os.Environ(),
		"AUTHED_REGISTRY_URL=https://localhost",
		"AUTHED_AGENT_ID="+floor.ID,
		"AUTHED_AGENT_SECRET=unused",
		"AUTHED_PRIVATE_KEY="+private,
		"AUTHED_PUBLIC_KEY="+public)
	return cmd, nil
}

// pythonInterpreter returns the interpreter of that environment, if there is
// one.
func pythonInterpreter() (string, error) {
	python, err := filepath.Abs("../.venv/bin/python")
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(python); err != nil {
		return "", fmt.Errorf("no Python environment; make one with internal/pypeer/venv.sh: %w", err)
	}
	return python, nil
}

// keyPair makes the RSA key pair that the SDK wants to see before it starts.
func keyPair() (private, public string, err error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return "", "", err
	}
	priv, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", err
	}
	pub, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return "", "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: priv})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pub})), nil
}
