package registry

import "math"

// The box outside which GCJ-02 is not defined; inside it lies the whole of China.
const (
	minLng, maxLng = 72.004, 137.8347
	minLat, maxLat = 0.8293, 55.8271
)

// gcj02Shift is by how much GCJ-02, the coordinates of Chinese map services, lies off WGS84 at a
// WGS84 point: the widely published approximation on the Krasovsky ellipsoid (a = 6,378,245 m).
func gcj02Shift(lng, lat float64) (dLng, dLat float64) {
	const (
		a  = 6378245.0
		ee = 0.00669342162296594323
	)
	x, y := lng-105, lat-35
	waves := (20*math.Sin(6*math.Pi*x) + 20*math.Sin(2*math.Pi*x)) * 2 / 3
	north := -100 + 2*x + 3*y + 0.2*y*y + 0.1*x*y + 0.2*math.Sqrt(math.Abs(x)) + waves +
		(20*math.Sin(math.Pi*y)+40*math.Sin(math.Pi*y/3))*2/3 +
		(160*math.Sin(math.Pi*y/12)+320*math.Sin(math.Pi*y/30))*2/3
	east := 300 + x + 2*y + 0.1*x*x + 0.1*x*y + 0.1*math.Sqrt(math.Abs(x)) + waves +
		(20*math.Sin(math.Pi*x)+40*math.Sin(math.Pi*x/3))*2/3 +
		(150*math.Sin(math.Pi*x/12)+300*math.Sin(math.Pi*x/30))*2/3
	sin, cos := math.Sincos(lat * math.Pi / 180)
	magic := 1 - ee*sin*sin
	root := math.Sqrt(magic)
	dLat = north * 180 / (a * (1 - ee) / (magic * root) * math.Pi)
	dLng = east * 180 / (a / root * cos * math.Pi)
	return dLng, dLat
}

// fromGCJ02 converts a GCJ-02 point of China to WGS84 by fixed-point iteration, exact to the
// 6 decimals (0.1 m) that it is rounded to.
func fromGCJ02(gLng, gLat float64) (lng, lat float64) {
	lng, lat = gLng, gLat
	for range 5 {
		dLng, dLat := gcj02Shift(lng, lat)
		lng, lat = gLng-dLng, gLat-dLat
	}
	return round6(lng), round6(lat)
}

func round6(v float64) float64 { return math.Round(v*1e6) / 1e6 }
