package dashboard

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
)

// A sealer hides what a browser keeps for us, such as a cursor, from the one who keeps it. Its key
// comes from the token of the data directory, so that all dashboards on it read each other's.
type sealer struct{ aead cipher.AEAD }

var errSeal = errors.New("not sealed here, or not for this")

func newSealer(token *fileToken) (*sealer, error) {
	key, err := hkdf.Key(sha256.New, []byte(token.token), nil, "pilewatch: what browsers keep", 32)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	return &sealer{aead}, nil
}

// seal hides a text, which open gives back for the same purpose only. Nothing stays nothing.
func (s *sealer) seal(purpose, text string) string {
	if text == "" {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, []byte(text), []byte(purpose))) //nolint:gosec // this AEAD makes its own random nonce
}

func (s *sealer) open(purpose, sealed string) (string, error) {
	if sealed == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return "", errSeal
	}
	text, err := s.aead.Open(nil, nil, raw, []byte(purpose))
	if err != nil {
		return "", errSeal
	}
	return string(text), nil
}

// newNonce is a text that nobody guesses.
func newNonce() string { return rand.Text() }
