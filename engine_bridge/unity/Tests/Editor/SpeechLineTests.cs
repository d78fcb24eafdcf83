using NUnit.Framework;

namespace Bunraku.Tests
{
    public sealed class SpeechLineTests
    {
        readonly float[] _weights = new float[SpeechLine.Visemes.Length];

        [Test]
        public void VowelRisesAndFallsWithinTheWindow()
        {
            var line = new SpeechLine("a");
            line.Weights(0, _weights);
            Assert.AreEqual(0.5f, _weights[0], 1e-6f);
            line.Weights(45, _weights);
            Assert.AreEqual(1f, _weights[0], 1e-6f);
            line.Weights(130, _weights);
            Assert.AreEqual(0f, _weights[0], 1e-6f);
        }

        [Test]
        public void MarkSetsTheExpressionAndTheEndFadesIt()
        {
            var line = new SpeechLine("o[happy]o[]o");
            Assert.IsNull(line.Expression(89));
            Assert.AreEqual("happy", line.Expression(90));
            Assert.AreEqual("", line.Expression(180));
            Assert.AreEqual("", line.Expression(line.EndMs));
        }

        [Test]
        public void BracketThatIsNeverClosedIsSilent()
        {
            Assert.AreEqual(130f, new SpeechLine("[a").EndMs, 1e-6f);
        }
    }
}
