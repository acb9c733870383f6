// Package charge holds the words of the platform: divisions, operators, stations, piles,
// connectors and what they report. It does no I/O and imports nothing of ours.
package charge

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// Zone is the time of the grid and of every day boundary, Asia/Shanghai (UTC+8, no daylight saving).
var Zone = time.FixedZone("Asia/Shanghai", 8*60*60)

// OperatorID is an operator's organisation code (T/CEC 102 OperatorID, 9 characters as a rule).
type OperatorID string

// StationID is unique within its operator only (T/CEC 102 StationID, up to 20 characters).
type StationID string

// ConnectorID names one gun, unique within its pile only (T/CEC 102 ConnectorID, up to 26 characters).
type ConnectorID string

// A PileID names one piece of equipment in the whole province: the operator and that
// operator's own EquipmentID.
type PileID struct {
	Operator  OperatorID
	Equipment string // T/CEC 102 EquipmentID, up to 23 characters, unique within the operator only
}

// String gives "{operator}:{pile}", the form of every URL, key and tag.
func (p PileID) String() string { return string(p.Operator) + ":" + p.Equipment }

// Compare orders piles by operator, then by their own id.
func (p PileID) Compare(o PileID) int {
	return cmp.Or(cmp.Compare(p.Operator, o.Operator), cmp.Compare(p.Equipment, o.Equipment))
}

// ParsePileID reads the form that String writes.
func ParsePileID(s string) (PileID, error) {
	operator, equipment, ok := strings.Cut(s, ":")
	if !ok || !ValidID(operator) || !ValidID(equipment) {
		return PileID{}, fmt.Errorf("pile %q: want {operator}:{pile}, each of [A-Za-z0-9._-]", s)
	}
	return PileID{Operator: OperatorID(operator), Equipment: equipment}, nil
}

// A ConnectorKey names one connector in the whole province.
type ConnectorKey struct {
	Pile      PileID
	Connector ConnectorID
}

// String gives "{operator}:{pile}/{connector}".
func (k ConnectorKey) String() string { return k.Pile.String() + "/" + string(k.Connector) }

// Compare orders keys by operator, pile and connector.
func (k ConnectorKey) Compare(o ConnectorKey) int {
	return cmp.Or(cmp.Compare(k.Pile.Operator, o.Pile.Operator), cmp.Compare(k.Pile.Equipment, o.Pile.Equipment), cmp.Compare(k.Connector, o.Connector))
}

// maxIDBytes bounds every id; T/CEC 102 allows 9 to 26 characters, operators in the field use up to 40.
const maxIDBytes = 64

// ValidID tells whether s may name an operator, a pile, a station or a connector:
// 1 to 64 characters of [A-Za-z0-9._-], and not "-" alone, which stands for "many" in topics.
func ValidID(s string) bool {
	if s == "" || s == "-" || len(s) > maxIDBytes {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
