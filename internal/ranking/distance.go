package ranking

import "math"

// A Point is a place on the earth, in WGS84 degrees.
type Point struct{ Lng, Lat float64 }

// earthKM is the mean radius of the earth (IUGG, R1).
const earthKM = 6371.0088

// KM is the great-circle distance by the haversine formula; it is within 0.6 % of the ellipsoid's.
func KM(a, b Point) float64 {
	lat1, lat2 := radians(a.Lat), radians(b.Lat)
	sinLat, sinLng := math.Sin((lat2-lat1)/2), math.Sin(radians(b.Lng-a.Lng)/2)
	h := sinLat*sinLat + math.Cos(lat1)*math.Cos(lat2)*sinLng*sinLng
	return 2 * earthKM * math.Asin(math.Sqrt(min(1, h)))
}

func radians(degrees float64) float64 { return degrees * math.Pi / 180 }

// Stations is the points of effective public stations, for many questions.
type Stations struct {
	points  []Point
	vectors [][3]float64
}

// NewStations takes real points only: a schematic one, drawn somewhere in its township, is never used for a
// distance. Points that are not on the earth are left out.
func NewStations(points []Point) *Stations {
	s := &Stations{}
	for _, p := range points {
		if p.valid() {
			s.points = append(s.points, p)
			s.vectors = append(s.vectors, p.vector())
		}
	}
	return s
}

func (p Point) valid() bool { return math.Abs(p.Lat) <= 90 && math.Abs(p.Lng) <= 180 }

func (p Point) vector() [3]float64 {
	lat, lng := radians(p.Lat), radians(p.Lng)
	return [3]float64{math.Cos(lat) * math.Cos(lng), math.Cos(lat) * math.Sin(lng), math.Sin(lat)}
}

// NearestKM is the distance to the nearest station; ok is false without a station or a valid point. The
// nearest is looked for by the straight line through the earth, which needs no trigonometry a station.
func (s *Stations) NearestKM(from Point) (km float64, ok bool) {
	if !from.valid() || len(s.points) == 0 {
		return 0, false
	}
	v := from.vector()
	nearest, best := 0, math.Inf(1)
	for i, w := range s.vectors {
		dx, dy, dz := v[0]-w[0], v[1]-w[1], v[2]-w[2]
		if d := dx*dx + dy*dy + dz*dz; d < best {
			nearest, best = i, d
		}
	}
	return KM(from, s.points[nearest]), true
}
