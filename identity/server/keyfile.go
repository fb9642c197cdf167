package server

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pando-agents/pando/identity"
)

const (
	signingKeyFile = "signing.key"
	secretsKeyFile = "secrets.key"
)

// createOnce returns what the file holds, or else writes what produce returns, with
// the given mode. Of several processes that do this at once one writes and all
// return the same; nobody ever sees half a file.
func createOnce(path string, mode fs.FileMode, produce func() ([]byte, error)) ([]byte, error) {
	data, err := os.ReadFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return data, err
	}
	if data, err = produce(); err != nil {
		return nil, err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return nil, err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close()); err != nil {
		return nil, err
	}
	// Unlike a rename, a link fails if somebody else was faster.
	switch err := os.Link(tmp.Name(), path); {
	case errors.Is(err, fs.ErrExist):
		return os.ReadFile(path)
	case err != nil:
		return nil, err
	}
	return data, syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// checkPrivate refuses a key file that others may read.
func checkPrivate(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%s can be read by others (mode %04o): set it to 0600", path, mode)
	}
	return nil
}

// loadSecretsKey returns the key under which secrets are hashed: the one in dir,
// made if there is none, or a fresh one if dir is empty.
func loadSecretsKey(dir string) ([]byte, error) {
	produce := func() ([]byte, error) {
		key := make([]byte, 32)
		_, err := rand.Read(key)
		return key, err
	}
	if dir == "" {
		return produce()
	}
	path := filepath.Join(dir, secretsKeyFile)
	key, err := createOnce(path, 0o600, produce)
	if err == nil {
		err = checkPrivate(path)
	}
	if err == nil && len(key) != 32 {
		err = fmt.Errorf("%s is not 32 bytes long", path)
	}
	return key, err
}

// loadSigningKey returns the key that signs tokens, in the same way.
func loadSigningKey(dir string) (*identity.Key, error) {
	if dir == "" {
		return identity.GenerateKey(identity.KeyRSA, nil)
	}
	path := filepath.Join(dir, signingKeyFile)
	text, err := createOnce(path, 0o600, func() ([]byte, error) {
		key, err := identity.GenerateKey(identity.KeyRSA, nil)
		if err != nil {
			return nil, err
		}
		text, err := key.PrivatePEM()
		return []byte(text), err
	})
	if err == nil {
		err = checkPrivate(path)
	}
	if err != nil {
		return nil, err
	}
	key, err := identity.ParsePrivateKey(string(text))
	if err == nil && key.Public().Type() != identity.KeyRSA {
		err = fmt.Errorf("%s is not an RSA key", path)
	}
	return key, err
}
