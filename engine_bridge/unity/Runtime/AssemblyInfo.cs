using System.Runtime.CompilerServices;

[assembly: InternalsVisibleTo("Bunraku.Editor")]
[assembly: InternalsVisibleTo("Bunraku.Editor.Tests")]
