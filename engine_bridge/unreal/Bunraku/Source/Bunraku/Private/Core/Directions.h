/*
 * Angles between Unreal's world and Bunraku's controls. Plain C++17: knows no Unreal types.
 *
 * Unreal: X forward, Y right, Z up (left-handed), degrees; a rotator's yaw turns right, its pitch up, its roll tilts
 * to the right. Bunraku: positive yaw turns the character to its own left, positive pitch up, positive roll tilts to
 * its left shoulder; degrees.
 */
#pragma once

#include <algorithm>
#include <cmath>

namespace bunraku::core {

struct Direction {
    double yaw_deg = 0.0;
    double pitch_deg = 0.0;
};

struct HeadPose {
    double yaw_deg = 0.0;
    double pitch_deg = 0.0;
    double roll_deg = 0.0;
};

struct Look {
    double gaze_yaw_deg = 0.0;
    double gaze_pitch_deg = 0.0;
    double head_yaw_deg = 0.0;
    double head_pitch_deg = 0.0;
};

// The same angle from above -180 to 180.
inline double normalized_degrees(double angle) {
    const double turned = std::remainder(angle, 360.0);
    return turned <= -180.0 ? turned + 360.0 : turned;
}

// Where the character must look to see a point in its own space (X out of its face, Y to its right, Z up; any unit).
// A point at the eyes themselves is straight ahead.
inline Direction direction_to(double x, double y, double z) {
    constexpr double kDegrees = 180.0 / 3.14159265358979323846;
    const double ahead = std::hypot(x, y);
    if (ahead == 0.0 && z == 0.0) {
        return {};
    }
    return {ahead == 0.0 ? 0.0 : normalized_degrees(kDegrees * std::atan2(-y, x)), kDegrees * std::atan2(z, ahead)};
}

// A rotation of Unreal's, relative to the character's own space, as a pose of its head.
inline HeadPose head_pose(double rotator_pitch, double rotator_yaw, double rotator_roll) {
    return {normalized_degrees(-rotator_yaw), normalized_degrees(rotator_pitch), normalized_degrees(-rotator_roll)};
}

// The eyes follow as far as they can, the head by a share of what the eyes do.
inline Look look_along(const Direction& direction, double max_yaw_deg, double max_pitch_deg, double head_share) {
    const double yaw = std::clamp(direction.yaw_deg, -max_yaw_deg, max_yaw_deg);
    const double pitch = std::clamp(direction.pitch_deg, -max_pitch_deg, max_pitch_deg);
    return {yaw, pitch, head_share * yaw, head_share * pitch};
}

}  // namespace bunraku::core
