// From a line of text to a mouth: the rules of speech of examples/20_talking_npc/README.md. Knows text and time, no
// client; header only, throws nothing of its own, and allocates only in say().
#ifndef BUNRAKU_SPEECH_HPP
#define BUNRAKU_SPEECH_HPP

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace bunraku {

// What she does at one moment.
struct SpeechPose {
    float aa, ih, ou, ee, oh; // weights of the visemes, 0 to 1
    const char *expression;   // "" fades to none; valid until the next say()
    bool left_alone;          // the expression is not touched (and is "")
    bool done;                // the line is over
};

class Speech {
public:
    // Begins a line, instead of the one before. text: UTF-8; expressions in [brackets].
    void say(std::string_view text) {
        sounds_.clear();
        marks_.clear();
        spoken_ms_ = 0;
        int vowel = NONE; // the last one
        for (std::size_t i = 0; i < text.size(); ++i) {
            const std::size_t bracket = text[i] == '[' ? text.find(']', i) : std::string_view::npos;
            if (bracket != std::string_view::npos) {
                marks_.push_back({spoken_ms_, std::string(text.substr(i + 1, bracket - i - 1))});
                i = bracket;
                continue;
            }
            const Sound sound = sound_of(text[i], vowel);
            if (sound.viseme != NONE) {
                sounds_.push_back({spoken_ms_, spoken_ms_ + sound.lasts_ms, sound.viseme, sound.weight});
            }
            spoken_ms_ += sound.lasts_ms;
        }
    }

    // What she does that long after the line began.
    SpeechPose at(double seconds) const {
        const double now_ms = 1000.0 * seconds;
        double weights[VISEMES] = {};
        for (const Span &span : sounds_) {
            if (span.begin_ms >= now_ms + GLIDE_MS) {
                break;
            }
            const double overlap_ms =
                std::min<double>(span.end_ms, now_ms + GLIDE_MS) - std::max<double>(span.begin_ms, now_ms - GLIDE_MS);
            weights[span.viseme] += std::max(overlap_ms, 0.0) * span.weight / (2.0 * GLIDE_MS);
        }
        SpeechPose pose{static_cast<float>(weights[AA]),
                        static_cast<float>(weights[IH]),
                        static_cast<float>(weights[OU]),
                        static_cast<float>(weights[EE]),
                        static_cast<float>(weights[OH]),
                        "",
                        true,
                        false};
        pose.done = now_ms >= spoken_ms_ + AFTER_MS;
        if (pose.done) {
            pose.left_alone = false;
            return pose;
        }
        for (const Mark &mark : marks_) {
            if (mark.since_ms <= now_ms) {
                pose.expression = mark.name.c_str();
                pose.left_alone = false;
            }
        }
        return pose;
    }

    double duration_s() const { return (spoken_ms_ + AFTER_MS) / 1000.0; }

private:
    enum Viseme { AA, IH, OU, EE, OH, VISEMES, NONE = -1 };

    static constexpr int GLIDE_MS = 40; // each way: a weight is the mean over twice this time
    static constexpr int AFTER_MS = 40; // how long the line goes on after its last letter

    struct Sound {
        int lasts_ms;
        int viseme;
        double weight;
    };
    struct Span {
        int begin_ms, end_ms;
        int viseme;
        double weight;
    };
    struct Mark {
        int since_ms;
        std::string name;
    };

    static bool is_one_of(char letter, std::string_view letters) {
        return letters.find(letter) != std::string_view::npos;
    }

    static Sound sound_of(char letter, int &vowel) {
        constexpr std::string_view VOWELS = "aeiouy";
        constexpr int VISEME_OF_VOWEL[] = {AA, EE, IH, OH, OU, IH};
        const char small = letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
        const std::size_t index = VOWELS.find(small);
        if (index != std::string_view::npos) {
            vowel = VISEME_OF_VOWEL[index];
            return {90, vowel, 1.0};
        }
        if (is_one_of(small, "mbp")) {
            return {70, NONE, 0.0};
        }
        if (small >= 'a' && small <= 'z') {
            return {60, vowel, 0.4};
        }
        if (is_one_of(small, " \t\n")) {
            return {40, NONE, 0.0};
        }
        if (is_one_of(small, ",;:")) {
            return {220, NONE, 0.0};
        }
        return {is_one_of(small, ".!?") ? 380 : 0, NONE, 0.0};
    }

    std::vector<Span> sounds_;
    std::vector<Mark> marks_;
    int spoken_ms_ = 0;
};

} // namespace bunraku

#endif // BUNRAKU_SPEECH_HPP
